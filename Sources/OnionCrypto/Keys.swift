internal import CCryptoBoringSSL
internal import CLibSodium
public import Wire

/// Why a key or an exchange was refused.
public enum CryptoError: Error, Equatable {
    /// The shared secret would be zero: the peer's key is a low-order point (RFC 7748, section 6.1).
    case lowOrderPoint
    /// The bytes are not a valid key of this kind.
    case invalidKey
    /// The ciphertext has the wrong length.
    case invalidCiphertext
}

/// An X25519 key pair (RFC 7748).
public struct AgreementKey: ~Copyable {
    private let secret: Secret
    /// The X25519 public key.
    public let publicKey: Bytes32

    /// A fresh key pair.
    public init() { self.init(.random()) }

    /// The key pair of `secret`.
    public init(_ secret: consuming Secret) {
        var output = [UInt8](repeating: 0, count: 32)
        unsafe output.withUnsafeMutableBufferPointer {
            unsafe CCryptoBoringSSL_X25519_public_from_private(
                $0.baseAddress!, secret.pointer.assumingMemoryBound(to: UInt8.self))
        }
        publicKey = Bytes32(copying: output.rawSpan)
        self.secret = secret
    }

    /// The secret shared with the holder of `peer`; an all-zero result is refused.
    public borrowing func agree(with peer: Bytes32) throws(CryptoError) -> Secret {
        let shared = Secret(uninitializedLocked: false)
        let point = peer.array
        let isGood = unsafe CCryptoBoringSSL_X25519(
            shared.pointer.assumingMemoryBound(to: UInt8.self), secret.pointer.assumingMemoryBound(to: UInt8.self),
            point)
        guard isGood == 1 else { throw .lowOrderPoint }
        return shared
    }
}

/// An Ed25519 key pair (RFC 8032): a node's identity.
public struct SigningKey: ~Copyable {
    private let seed: Secret
    /// The Ed25519 public key.
    public let publicKey: Bytes32

    /// The length of a signature.
    public static let signatureSize = 64

    /// A fresh key pair.
    public init() { self.init(seed: .random()) }

    /// The key pair of a 32-byte seed.
    public init(seed: consuming Secret) {
        var publicBytes = [UInt8](repeating: 0, count: 32)
        var secretBytes = [UInt8](repeating: 0, count: 64)
        _ = unsafe crypto_sign_seed_keypair(
            &publicBytes, &secretBytes, seed.pointer.assumingMemoryBound(to: UInt8.self))
        wipe(&secretBytes)
        publicKey = Bytes32(copying: publicBytes.rawSpan)
        self.seed = seed
    }

    /// The seed's bytes, for writing them to a key file.
    public var seedBytes: RawSpan {
        @_lifetime(borrow self)
        get { seed.bytes }
    }

    /// Calls `body` with the secret key in libsodium's form: the seed, then the public key.
    borrowing func withExpanded<Result: ~Copyable>(_ body: (borrowing [UInt8]) -> Result) -> Result {
        var publicBytes = [UInt8](repeating: 0, count: 32)
        var secretBytes = [UInt8](repeating: 0, count: 64)
        _ = unsafe crypto_sign_seed_keypair(
            &publicBytes, &secretBytes, seed.pointer.assumingMemoryBound(to: UInt8.self))
        let result = body(secretBytes)
        wipe(&secretBytes)
        return result
    }

    /// The signature of `message`, 64 bytes.
    public borrowing func sign(_ message: RawSpan) -> [UInt8] {
        withExpanded { key in
            var signature = [UInt8](repeating: 0, count: Self.signatureSize)
            unsafe message.withUnsafeBytes { m in
                _ = unsafe crypto_sign_detached(
                    &signature, nil, m.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(m.count), key)
            }
            return signature
        }
    }

    /// The X25519 key pair on the birationally equivalent curve: the node's static key in link handshakes.
    public borrowing func agreementKey() -> AgreementKey {
        let secret = withExpanded { key in
            let secret = Secret(uninitializedLocked: true)
            _ = unsafe crypto_sign_ed25519_sk_to_curve25519(secret.pointer.assumingMemoryBound(to: UInt8.self), key)
            return secret
        }
        return AgreementKey(secret)
    }

    /// Whether `signature` is `publicKey`'s over `message`.
    public static func verify(_ signature: RawSpan, of message: RawSpan, by publicKey: Bytes32) -> Bool {
        guard signature.byteCount == signatureSize else { return false }
        Sodium.initialize()
        let key = publicKey.array
        return unsafe signature.withUnsafeBytes { s in
            unsafe message.withUnsafeBytes { m in
                unsafe crypto_sign_verify_detached(
                    s.baseAddress!.assumingMemoryBound(to: UInt8.self),
                    m.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(m.count), key) == 0
            }
        }
    }

    /// The X25519 public key that corresponds to the Ed25519 key `identity`.
    public static func agreementKey(of identity: Bytes32) throws(CryptoError) -> Bytes32 {
        Sodium.initialize()
        var output = [UInt8](repeating: 0, count: 32)
        let key = identity.array
        guard unsafe crypto_sign_ed25519_pk_to_curve25519(&output, key) == 0 else { throw .invalidKey }
        return Bytes32(copying: output.rawSpan)
    }
}
