internal import Directory
internal import Registry
public import Store
internal import Wire

/// Why the ledger on disk cannot be continued.
public enum LedgerFailure: Error, Equatable {
    /// The file cannot be read or written.
    case file(StoreError)
    /// The file's content is wrong.
    case content(LedgerError)

    /// The error alone.
    var cause: any Error {
        switch self {
        case .file(let error): error
        case .content(let error): error
        }
    }

    /// Runs an access to the ledger's file.
    static func ofFile<Value>(_ access: () throws(StoreError) -> Value) throws(Self) -> Value {
        do throws(StoreError) { return try access() } catch { throw .file(error) }
    }
}

extension FinalBlock {
    /// Reads a block with its signatures; throws `unreadable` for bytes that are not one.
    init(orRefusal bytes: [UInt8]) throws(LedgerRefusal) {
        do throws(WireError) { try self.init(decoding: bytes.rawSpan) } catch { throw .unreadable }
    }
}

/// A problem of the ledger as a registry source.
enum LedgerProblem: RegistrySourceProblem {
    /// The ledger's file cannot be written, and the ledger stands until it can be.
    case unwritable(LedgerFailure)
    case warning(LedgerWarning)
}
