/// Why something on disk could not be read or kept; the description names the file and what to do.
public enum StoreError: Error, Equatable, CustomStringConvertible {
    /// A file or folder may be read or written by others than its owner.
    case tooOpen(path: String, mode: UInt32, isFolder: Bool)
    /// A file or folder belongs to another user.
    case notOwned(path: String)
    /// Something else stands where a file or a folder should be.
    case wrongKind(path: String, expected: String)
    /// Another process works with the folder; its id where the lock file tells it.
    case inUse(folder: String, process: Int?)
    /// The key file is already there.
    case alreadyExists(path: String)
    /// There is no such file.
    case missing(path: String)
    /// The file is not what it should be, or was damaged.
    case damaged(path: String)
    /// A key file is sealed, and no passphrase was given.
    case sealed(path: String)
    /// The passphrase is not that by which the key file is sealed.
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

    /// One sentence for the user.
    public var description: String {
        switch self {
        case .tooOpen(let path, let mode, let isFolder):
            "\(path) is open to other users (mode \(String(mode & 0o777, radix: 8))); "
                + "run: chmod \(isFolder ? "700" : "600") \(path)"
        case .notOwned(let path):
            "\(path) belongs to another user; run tunic as its owner, or change the owner with chown"
        case .wrongKind(let path, let expected): "\(path) is not \(expected); move it away"
        case .inUse(let folder, let process):
            "\(folder) is in use by another tunic\(process.map { " (process \($0))" } ?? ""); "
                + "stop that one, or choose another data folder"
        case .alreadyExists(let path): "\(path) already exists and is not replaced; move it away to make a new one"
        case .missing(let path): "\(path) does not exist; create it, or correct the path"
        case .damaged(let path): "\(path) is damaged; restore it from a backup, or move it away to begin anew"
        case .sealed(let path): "\(path) is sealed by a passphrase; name a file that holds it with --passphrase-file"
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
