internal import Glibc

/// A file of a data folder that is always replaced as a whole; any thread may use it, but only one at a time for one
/// path.
public enum StateFile {
    /// The largest file that is read, in bytes.
    public static let maximumSize = 64 << 20

    /// The bytes of the file at `path`, which no other user may read or write.
    public static func read(_ path: String) throws(StoreError) -> [UInt8] { try read(path, isPrivate: true) }

    /// The bytes of the file at `path`, which others may read and write because its contents are signed.
    public static func readPublic(_ path: String) throws(StoreError) -> [UInt8] { try read(path, isPrivate: false) }

    private static func read(_ path: String, isPrivate: Bool) throws(StoreError) -> [UInt8] {
        let flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | (isPrivate ? O_NOFOLLOW : 0)
        let descriptor = unsafe open(path, flags)
        guard descriptor >= 0 else { throw .failed(path, "open", errno) }
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw .failed(path, "stat", errno) }
        if isPrivate { try checkPrivate(status, path, isFolder: false) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .wrongKind(path: path, expected: "a plain file") }
        guard status.st_size <= maximumSize else { throw .damaged(path: path) }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        var done = 0
        while done < bytes.count {
            let count = unsafe bytes.withUnsafeMutableBytes {
                unsafe Glibc.read(descriptor, $0.baseAddress! + done, $0.count - done)
            }
            guard count > 0 else { throw .damaged(path: path) }
            done += count
        }
        return bytes
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
