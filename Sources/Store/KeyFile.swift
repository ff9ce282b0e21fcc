public import OnionCrypto
internal import Wire

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// The file of a node's identity key.
///
///     "tunicid1" 8 │ Ed25519 seed 32 │ the first 16 bytes of H(everything before)
///
/// It is made whole or not at all: written beside its place, forced to disk, then linked to its name, which must be free. One
/// that others than its owner can read or write is refused.
public enum KeyFile {
    /// The name in a data folder.
    public static let name = "identity.key"
    private static let magic = [UInt8]("tunicid1".utf8)
    private static let size = 8 + 32 + 16

    /// Makes a fresh key and writes it to `path`, where nothing may be.
    public static func create(at path: String) throws(StoreError) -> SigningKey {
        let key = SigningKey()
        try save(key, to: path)
        return key
    }

    /// Reads the key at `path`.
    ///
    /// A credential of systemd (`isCredential`) may belong to root and be readable by a group: its folder is ours alone.
    public static func load(_ path: String, isCredential: Bool = false) throws(StoreError) -> SigningKey {
        let descriptor = unsafe open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .failed(path, "open", errno) }
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw .failed(path, "stat", errno) }
        if isCredential {
            guard status.st_mode & 0o037 == 0 else {
                throw .tooOpen(path: path, mode: UInt32(status.st_mode), isFolder: false)
            }
        } else {
            try checkPrivate(status, path, isFolder: false)
        }
        guard status.st_size == Self.size else { throw .damaged(path: path) }
        var bytes = [UInt8](repeating: 0, count: Self.size)
        defer { wipe(&bytes) }
        guard unsafe read(descriptor, &bytes, Self.size) == Self.size else { throw .damaged(path: path) }
        let digest = Blake2b.digest(bytes.rawSpan.extracting(0..<40)).array
        guard bytes.starts(with: magic), bytes[40...].elementsEqual(digest.prefix(16)) else {
            throw .damaged(path: path)
        }
        return SigningKey(seed: Secret(copying: bytes.rawSpan.extracting(8..<40), locked: true))
    }

    /// Writes `key` to `path`, where nothing may be.
    public static func save(_ key: borrowing SigningKey, to path: String) throws(StoreError) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.size)
        defer { wipe(&bytes) }
        bytes += magic
        for place in 0..<32 { bytes.append(unsafe key.seedBytes.unsafeLoad(fromByteOffset: place, as: UInt8.self)) }
        bytes += Blake2b.digest(bytes.rawSpan).array.prefix(16)

        let temporary = "\(path).\(getpid()).\(SecureRandom.u32()).new"
        let descriptor = unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .failed(path, "open", errno) }
        defer { _ = unsafe unlink(temporary) }
        let written = unsafe write(descriptor, bytes, bytes.count)
        guard written == bytes.count, fsync(descriptor) == 0 else {
            let error = written >= 0 && written < bytes.count ? ENOSPC : errno
            close(descriptor)
            throw .failed(path, "write", error)
        }
        close(descriptor)
        guard unsafe link(temporary, path) == 0 else {
            if errno == EEXIST { throw .alreadyExists(path: path) }
            throw .failed(path, "link", errno)
        }
        try forceFolder(of: path)
    }

    /// Forces the entry of `path` in its folder to disk.
    private static func forceFolder(of path: String) throws(StoreError) {
        let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let descriptor = unsafe open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .failed(folder, "open", errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw .failed(folder, "fsync", errno) }
    }
}
