/// A file of a data folder that is always replaced as a whole; any thread may use it, but only one at a time for one
/// path.
public enum StateFile {
    /// The largest file that is read, in bytes.
    public static let maximumSize = 64 << 20

    /// The bytes of the file at `path`, which no other user may read or write.
    public static func read(_ path: String) throws(StoreError) -> [UInt8] {
        try PrivateFile.read(path, for: .own, limit: maximumSize)
    }

    /// The bytes of the file at `path`, which others may read and write because its contents are signed.
    public static func readPublic(_ path: String) throws(StoreError) -> [UInt8] {
        try PrivateFile.read(path, for: .anyone, limit: maximumSize)
    }

    /// Writes `bytes` beside `path`, forces them to disk and renames the file; only the owner can read it.
    public static func write(_ bytes: [UInt8], to path: String) throws(StoreError) {
        do throws(AtomicFile.Fault) {
            try AtomicFile.write(bytes, to: path, .replaced, .secret)
        } catch {
            throw .failed(path, error.call, error.errno)
        }
    }
}
