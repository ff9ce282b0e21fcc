internal import Crypto
internal import FoundationEssentials
internal import Wire

/// X-Wing, the hybrid of ML-KEM-768 and X25519 (draft-connolly-cfrg-xwing-kem), from swift-crypto.
///
/// Encapsulation draws its own randomness and cannot be seeded; tests use recorded ciphertexts.
public enum KEM {
    /// The length of a public key.
    public static let publicKeySize = 1216
    /// The length of a ciphertext.
    public static let ciphertextSize = 1120

    /// A fresh shared secret and the ciphertext that carries it.
    public struct Encapsulation: ~Copyable {
        /// The shared secret, 32 bytes.
        public let secret: Secret
        /// The ciphertext to send, 1,120 bytes.
        public let ciphertext: [UInt8]

        /// The pair of `secret` and `ciphertext`, for example a recorded one in a test.
        public init(secret: consuming Secret, ciphertext: [UInt8]) {
            self.secret = secret
            self.ciphertext = ciphertext
        }

        /// The secret, moved out.
        public consuming func takeSecret() -> Secret { secret }
    }

    /// Encapsulates to `publicKey` from a descriptor.
    public static func encapsulate(to publicKey: [UInt8]) throws(CryptoError) -> Encapsulation {
        guard publicKey.count == publicKeySize else { throw .invalidKey }
        do {
            let result = try XWingMLKEM768X25519.PublicKey(rawRepresentation: publicKey).encapsulate()
            return Encapsulation(secret: secret(of: result.sharedSecret), ciphertext: [UInt8](result.encapsulated))
        } catch {
            throw .invalidKey
        }
    }

    static func secret(of key: SymmetricKey) -> Secret {
        var bytes = unsafe key.withUnsafeBytes { unsafe [UInt8]($0) }
        defer { wipe(&bytes) }
        return Secret(copying: bytes.rawSpan)
    }

    /// The private half of an X-Wing key pair: a node's onion key, kept in memory only.
    public struct PrivateKey: Sendable {
        private let key: XWingMLKEM768X25519.PrivateKey
        /// The public half, 1,216 bytes.
        public let publicKey: [UInt8]

        /// A fresh key pair.
        public init() throws(CryptoError) {
            var seed = SecureRandom.bytes(32)
            defer { wipe(&seed) }
            try self.init(seed: seed)
        }

        /// The key pair of a 32-byte seed.
        public init(seed: [UInt8]) throws(CryptoError) {
            do {
                key = try XWingMLKEM768X25519.PrivateKey(seedRepresentation: seed, publicKey: nil)
                publicKey = [UInt8](key.publicKey.rawRepresentation)
            } catch {
                throw .invalidKey
            }
        }

        /// The secret of `ciphertext`; a forged ciphertext gives an unrelated secret, not an error.
        public func decapsulate(_ ciphertext: RawSpan) throws(CryptoError) -> Secret {
            guard ciphertext.byteCount == KEM.ciphertextSize else { throw .invalidCiphertext }
            do {
                let data = unsafe ciphertext.withUnsafeBytes { unsafe Data($0) }
                return KEM.secret(of: try key.decapsulate(data))
            } catch {
                throw .invalidCiphertext
            }
        }
    }
}
