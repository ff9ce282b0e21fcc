internal import Glibc
public import OnionCrypto
internal import Wire

/// The file of a key: a node's, an authority's or an account's.
///
///     "tunicid1" 8 │ Ed25519 seed 32 │ the first 16 bytes of H(everything before)
///     "tunicid2" 8 │ Argon2id: passes 4, memory in KiB 4, salt 16 │ nonce 24 │ seed sealed by XChaCha20-Poly1305 48
///
/// The second form is sealed by a passphrase; the bytes before the nonce are authenticated too. A file is created
/// completely or not at all: it is written beside its place, forced to disk, then linked to its name, which must be
/// free. A file that users other than its owner can read or write is refused.
public enum KeyFile {
    /// The name in a data folder.
    public static let name = "identity.key"
    private static let magic = [UInt8]("tunicid1".utf8)
    private static let size = 8 + 32 + 16
    private static let sealedMagic = [UInt8]("tunicid2".utf8)
    /// The size of the fields before the nonce of a sealed file.
    private static let headSize = 8 + 4 + 4 + Passphrase.saltSize
    private static let sealedSize = headSize + XChaCha20Poly1305.nonceSize + 32 + 16

    /// Makes a fresh key and writes it to `path`, which must not exist.
    public static func create(at path: String) throws(StoreError) -> SigningKey {
        let key = SigningKey()
        try save(key, to: path)
        return key
    }

    /// Reads the key at `path`; a sealed one needs the `passphrase`, and takes some 0.2 s and 64 MiB.
    ///
    /// A systemd credential (`isCredential`) may belong to root and be readable by a group: only this user can enter
    /// its folder.
    public static func load(
        _ path: String, isCredential: Bool = false, passphrase: borrowing Passphrase? = nil
    ) throws(StoreError) -> SigningKey {
        var bytes = try PrivateFile.read(path, for: isCredential ? .credential : .own, limit: sealedSize)
        defer { wipe(&bytes) }
        if bytes.count == sealedSize {
            guard bytes.starts(with: sealedMagic) else { throw .damaged(path: path) }
            return try unseal(bytes, path, passphrase)
        }
        guard bytes.count == size else { throw .damaged(path: path) }
        let digest = Blake2b.digest(bytes.rawSpan.extracting(0..<40)).array
        guard bytes.starts(with: magic), bytes[40...].elementsEqual(digest.prefix(16)) else {
            throw .damaged(path: path)
        }
        return SigningKey(seed: Secret(copying: bytes.rawSpan.extracting(8..<40), locked: true))
    }

    /// Writes `key` to `path`, which must not exist, sealed by `passphrase` if there is one.
    public static func save(
        _ key: borrowing SigningKey, to path: String, passphrase: borrowing Passphrase? = nil,
        cost: Passphrase.Cost = .usual
    ) throws(StoreError) {
        try write(key, to: path, .free, passphrase, cost)
    }

    /// Replaces the file at `path` with `key`; at each moment one of the two files is there.
    public static func replace(
        _ key: borrowing SigningKey, at path: String, passphrase: borrowing Passphrase?,
        cost: Passphrase.Cost = .usual
    ) throws(StoreError) {
        try write(key, to: path, .replaced, passphrase, cost)
    }

    /// Writes the file, and forces it and its entry in the folder to disk.
    private static func write(
        _ key: borrowing SigningKey, to path: String, _ place: AtomicFile.Place, _ passphrase: borrowing Passphrase?,
        _ cost: Passphrase.Cost
    ) throws(StoreError) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.sealedSize)
        defer { wipe(&bytes) }
        switch passphrase {
        case .some(let passphrase): bytes = try seal(key, path, passphrase, cost)
        case .none:
            bytes += magic
            for place in 0..<32 { bytes.append(unsafe key.seedBytes.unsafeLoad(fromByteOffset: place, as: UInt8.self)) }
            bytes += Blake2b.digest(bytes.rawSpan).array.prefix(16)
        }
        do throws(AtomicFile.Fault) {
            try AtomicFile.write(bytes, to: path, place, .secret)
        } catch {
            switch (error.call, error.errno) {
            case ("link", EEXIST): throw .alreadyExists(path: path)
            case ("open", ENOENT): throw .missing(path: folder(of: path))
            default: throw .failed(path, error.call, error.errno)
            }
        }
        try forceFolder(of: path)
    }

    // MARK: The sealed form

    private static func seal(
        _ key: borrowing SigningKey, _ path: String, _ passphrase: borrowing Passphrase, _ cost: Passphrase.Cost
    ) throws(StoreError) -> [UInt8] {
        var writer = ByteWriter(capacity: sealedSize)
        writer.raw(sealedMagic)
        writer.u32(cost.operations)
        writer.u32(cost.memory)
        let salt = SecureRandom.bytes(Passphrase.saltSize)
        writer.raw(salt)
        let head = writer.bytes
        let nonce = SecureRandom.bytes(XChaCha20Poly1305.nonceSize)
        let secret = try stretched(passphrase, salt.rawSpan, cost, path)
        let sealed = XChaCha20Poly1305.seal(
            key.seedBytes, associated: head.rawSpan, nonce: nonce.rawSpan, key: secret)
        return head + nonce + sealed
    }

    private static func unseal(
        _ bytes: [UInt8], _ path: String, _ passphrase: borrowing Passphrase?
    ) throws(StoreError) -> SigningKey {
        var reader = ByteReader(bytes.rawSpan.extracting(sealedMagic.count..<headSize))
        guard let operations = try? reader.u32(), let memory = try? reader.u32() else { throw .damaged(path: path) }
        let cost = Passphrase.Cost(operations: operations, memory: memory)
        guard cost.isBounded else { throw .damaged(path: path) }
        let span = bytes.rawSpan
        let nonceEnd = headSize + XChaCha20Poly1305.nonceSize
        switch passphrase {
        case .none: throw .sealed(path: path)
        case .some(let passphrase):
            let salt = span.extracting((headSize - Passphrase.saltSize)..<headSize)
            let secret = try stretched(passphrase, salt, cost, path)
            guard
                var seed = XChaCha20Poly1305.open(
                    span.extracting(nonceEnd..<sealedSize), associated: span.extracting(0..<headSize),
                    nonce: span.extracting(headSize..<nonceEnd), key: secret)
            else { throw .wrongPassphrase(path: path) }
            defer { wipe(&seed) }
            return SigningKey(seed: Secret(copying: seed.rawSpan, locked: true))
        }
    }

    private static func stretched(
        _ passphrase: borrowing Passphrase, _ salt: RawSpan, _ cost: Passphrase.Cost, _ path: String
    ) throws(StoreError) -> Secret {
        do {
            return try passphrase.key(salt: salt, cost: cost)
        } catch {
            throw .system(path: path, call: "Argon2id with \(cost.memory) KiB of memory", errno: ENOMEM)
        }
    }

    /// The folder in which `path` is.
    private static func folder(of path: String) -> String {
        path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    }

    /// Forces the entry of `path` in its folder to disk.
    private static func forceFolder(of path: String) throws(StoreError) {
        let folder = Self.folder(of: path)
        let descriptor = unsafe open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .failed(folder, "open", errno) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw .failed(folder, "fsync", errno) }
    }
}
