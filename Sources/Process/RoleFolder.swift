package import OnionCrypto
package import Store

/// The data folder of a client or relay: a node's key, and the store.
package enum RoleFolder {
    /// Opens the store in `folder`, which is created if its parent exists, and locks it against other processes.
    package static func openStore(in folder: String) throws(Failure) -> Store {
        do {
            return try Store(folder: folder)
        } catch {
            throw Failure.of(error)
        }
    }

    /// Reads the node's key: from `path` if given, else from systemd's credential, else from the folder.
    package static func readKey(
        _ path: String? = nil, in folder: String, passphrase: borrowing Passphrase? = nil
    ) throws(Failure) -> SigningKey {
        let credential = Files.environment("CREDENTIALS_DIRECTORY").map { "\($0)/\(KeyFile.name)" }
        let isCredential = path == nil && credential.map(Files.exists) ?? false
        do {
            if isCredential, let credential {
                return try KeyFile.load(credential, isCredential: true, passphrase: passphrase)
            }
            return try KeyFile.load(path ?? "\(folder)/\(KeyFile.name)", passphrase: passphrase)
        } catch {
            if case .missing(let path) = error {
                throw Failure(
                    .noInput,
                    "\(path) does not exist; 'tunic network key' makes a node's key, "
                        + "'tunic network create' those of a network")
            }
            throw Failure.of(error)
        }
    }

    /// Reads the key of an authority or an account.
    package static func read(_ path: String, passphrase: borrowing Passphrase? = nil) throws(Failure) -> SigningKey {
        do {
            return try KeyFile.load(path, passphrase: passphrase)
        } catch {
            throw Failure.of(error)
        }
    }

    /// Writes a new node's key.
    package static func writeKey(
        _ key: borrowing SigningKey, in folder: String, passphrase: borrowing Passphrase? = nil
    ) throws(Failure) {
        try write(key, to: "\(folder)/\(KeyFile.name)", passphrase: passphrase)
    }

    /// Writes a new key to `path`, which must not exist.
    package static func write(
        _ key: borrowing SigningKey, to path: String, passphrase: borrowing Passphrase? = nil
    ) throws(Failure) {
        do {
            try KeyFile.save(key, to: path, passphrase: passphrase)
        } catch {
            throw Failure.of(error)
        }
    }
}

extension RoleFolder {
    /// Replaces the key file with one sealed by another passphrase or by none.
    package static func replace(
        _ key: borrowing SigningKey, at path: String, passphrase: borrowing Passphrase?
    ) throws(Failure) {
        do {
            try KeyFile.replace(key, at: path, passphrase: passphrase)
        } catch {
            throw Failure.of(error)
        }
    }
}

extension Failure {
    /// The failure for an error of the data folder, with the error's message.
    package static func of(_ error: StoreError) -> Failure {
        let code: Code =
            switch error {
            case .tooOpen, .notOwned, .readOnly, .sealed, .wrongPassphrase: .permission
            case .wrongKind, .damaged, .tooNew: .data
            case .inUse: .inUse
            case .alreadyExists: .cannotCreate
            case .missing: .noInput
            case .diskFull, .system, .database: .io
            }
        if case .sealed = error {
            return Failure(code, "\(error); name a file that holds it with --passphrase-file")
        }
        return Failure(code, error.description)
    }
}
