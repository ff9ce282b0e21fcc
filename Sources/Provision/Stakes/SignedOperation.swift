package import Control
package import Process
package import Registry
internal import Wire

/// A signed operation, which anyone may submit.
package struct SignedOperation: Codable {
    /// A description for users; only the bytes are used.
    package var what: String
    /// The encoding in hexadecimal.
    package var operation: String

    /// `operation`, described by `what`.
    package init(what: String, _ operation: RegistryOperation) {
        self.what = what
        self.operation = hexadecimal(operation.encoded())
    }

    /// Reads the file `path` and returns its operation.
    package static func read(_ path: String) throws(Failure) -> RegistryOperation {
        let contents = try Files.read(path, limit: 65_536)
        guard let file = decoded(contents, as: SignedOperation.self),
            let operation = bytes(hexadecimal: file.operation).flatMap({ try? RegistryOperation(decoding: $0.rawSpan) })
        else {
            throw Failure(.data, "\(path) is not a signed operation as printed by 'tunic stake … --offline'")
        }
        return operation
    }
}

extension RegistryOperation {
    /// Throws if the relay that made the report of the operation's account cannot submit it; `file` is the operation's
    /// file.
    package func check(against account: AccountReport, _ file: String) throws(Failure) {
        guard account.network == hexadecimal(network.array) else {
            throw Failure(.data, "\(file) is signed for another network than the relay's")
        }
        guard account.height < until else {
            throw Failure(
                .data, "\(file) was for blocks up to \(until), and the newest is \(account.height): sign it again")
        }
        guard account.nonce == nonce else {
            throw Failure(
                .data,
                "\(file) is signed as operation \(nonce) of its account, whose next is \(account.nonce): sign it "
                    + "again with the present output of 'tunic stake state'")
        }
    }
}
