/// Why a file could not be read or written; the description names the file, and the remedy if it is not an option.
public enum StoreError: Error, Equatable, CustomStringConvertible {
    /// Users other than the owner can read or write a file or folder.
    case tooOpen(path: String, mode: UInt32, isFolder: Bool)
    /// A file or folder belongs to another user.
    case notOwned(path: String)
    /// A file system object of another type has the place of a file or folder.
    case wrongKind(path: String, expected: String)
    /// Another process uses the folder; its id, if the lock file has it.
    case inUse(folder: String, process: Int?)
    /// The key file already exists.
    case alreadyExists(path: String)
    /// The file does not exist.
    case missing(path: String)
    /// The contents are invalid or damaged.
    case damaged(path: String)
    /// A key file is sealed, and no passphrase was given.
    case sealed(path: String)
    /// The passphrase does not open the key file.
    case wrongPassphrase(path: String)
    /// The database was written by a later version.
    case tooNew(path: String, version: Int, known: Int)
    /// The disk is full.
    case diskFull(path: String)
    /// The file or folder cannot be read or written.
    case readOnly(path: String)
    /// A system call failed with `errno`.
    case system(path: String, call: String, errno: Int32)
    /// SQLite failed with its extended result code.
    case database(path: String, code: Int32)

    /// A sentence for the user, without a full stop.
    public var description: String {
        switch self {
        case .tooOpen(let path, let mode, let isFolder):
            "\(path) is open to other users (mode \(String(mode & 0o777, radix: 8))); "
                + "run: chmod \(isFolder ? "700" : "600") \(path)"
        case .notOwned(let path):
            "\(path) belongs to another user; run this program as its owner, or change the owner with chown"
        case .wrongKind(let path, let expected): "\(path) is not \(expected); move it away"
        case .inUse(let folder, let process):
            "\(folder) is in use by another tunic\(process.map { " (process \($0))" } ?? ""); "
                + "stop that one, or choose another data folder"
        case .alreadyExists(let path): "\(path) already exists and is not replaced; move it away to make a new one"
        case .missing(let path): "\(path) does not exist; create it, or correct the path"
        case .damaged(let path): "\(path) is damaged; restore it from a backup, or move it away to begin anew"
        case .sealed(let path): "\(path) is sealed by a passphrase"
        case .wrongPassphrase(let path): "the passphrase does not open \(path); use that by which it was sealed"
        case .tooNew(let path, let version, let known):
            "\(path) has format \(version), and this tunic knows up to \(known); use the newer tunic that wrote it"
        case .diskFull(let path): "the disk of \(path) is full; free some space"
        case .readOnly(let path):
            "\(path) cannot be read or written; check its permissions and that the disk is not read-only"
        case .system(let path, let call, let errno): "\(path): \(call) failed with error \(errno); check the disk"
        case .database(let path, let code):
            "\(path): SQLite failed with code \(code); check the disk, and if it stays so move the file away"
        }
    }
}
