internal import CLibSodium
internal import Wire

/// The passphrase of a sealed key file, from a person or a secret store; wiped when the value ends.
///
/// Only a digest of it is kept, which is all that ``key(salt:cost:)`` needs.
public struct Passphrase: ~Copyable {
    /// The cost of trying one passphrase (Argon2id, RFC 9106).
    public struct Cost: Hashable, Sendable {
        /// The number of passes over the memory.
        public var operations: UInt32
        /// The amount of memory in KiB.
        public var memory: UInt32

        /// A cost of these values.
        public init(operations: UInt32, memory: UInt32) {
            self.operations = operations
            self.memory = memory
        }

        /// The cost for new files: three passes over 64 MiB, RFC 9106's second choice.
        public static let usual = Cost(operations: 3, memory: 65_536)
        /// Whether it is within the accepted range: 1 to 64 passes, 8 KiB to 1 GiB.
        public var isBounded: Bool { 1...64 ~= operations && 8...(1 << 20) ~= memory }
    }

    /// The length of a salt.
    public static let saltSize = Int(crypto_pwhash_SALTBYTES)

    private let digest: Secret

    /// The passphrase with these bytes, which it wipes.
    public init(wiping bytes: inout [UInt8]) {
        var hash = Blake2b(outputSize: Secret.size)
        hash.update(Array("tunic passphrase\0".utf8).rawSpan)
        hash.update(bytes.rawSpan)
        digest = hash.finishSecret()
        wipe(&bytes)
    }

    /// The key derived from the passphrase and `salt`; throws `invalidKey` if the cost is out of range or the memory is
    /// not available.
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
