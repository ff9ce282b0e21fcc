internal import CLibSodium
internal import Wire

/// What a person or a secret store gives to open a sealed key file; wiped when the value ends.
///
/// Only a digest of it is kept, which is all that ``key(salt:cost:)`` needs.
public struct Passphrase: ~Copyable {
    /// What it costs to try one passphrase (Argon2id, RFC 9106).
    public struct Cost: Hashable, Sendable {
        /// How often the memory is gone through.
        public var operations: UInt32
        /// How much memory is taken, in KiB.
        public var memory: UInt32

        /// So much as that.
        public init(operations: UInt32, memory: UInt32) {
            self.operations = operations
            self.memory = memory
        }

        /// What new files get: three times through 64 MiB, RFC 9106's second choice.
        public static let usual = Cost(operations: 3, memory: 65_536)
        /// Whether it is within what is computed at all: 1 to 64 times, 8 KiB to 1 GiB.
        public var isBounded: Bool { 1...64 ~= operations && 8...(1 << 20) ~= memory }
    }

    /// The length of a salt.
    public static let saltSize = Int(crypto_pwhash_SALTBYTES)

    private let digest: Secret

    /// The passphrase of these bytes, which are wiped.
    public init(wiping bytes: inout [UInt8]) {
        var hash = Blake2b(outputSize: Secret.size)
        hash.update(Array("tunic passphrase\0".utf8).rawSpan)
        hash.update(bytes.rawSpan)
        digest = hash.finishSecret()
        wipe(&bytes)
    }

    /// The key that the passphrase gives with `salt`; `invalidKey` when the cost is out of bounds or there is not so much memory.
    public borrowing func key(salt: RawSpan, cost: Cost) throws(CryptoError) -> Secret {
        precondition(salt.byteCount == Self.saltSize, "a salt is 16 bytes long")
        guard cost.isBounded else { throw .invalidKey }
        let key = Secret(uninitializedLocked: false)
        let status = unsafe salt.withUnsafeBytes { salt in
            unsafe crypto_pwhash(
                key.pointer.assumingMemoryBound(to: UInt8.self), UInt64(Secret.size),
                digest.pointer.assumingMemoryBound(to: CChar.self), UInt64(Secret.size),
                salt.baseAddress!.assumingMemoryBound(to: UInt8.self), UInt64(cost.operations),
                Int(cost.memory) * 1024, crypto_pwhash_ALG_ARGON2ID13)
        }
        guard status == 0 else { throw .invalidKey }
        return key
    }
}
