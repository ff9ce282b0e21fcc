public import OnionCrypto

/// The random values used when a path is built; tests pass recorded ones instead.
public struct BuildSource: Sendable {
    /// A fresh X25519 key pair.
    public var ephemeral: @Sendable () -> AgreementKey
    /// This many random bytes.
    public var fill: @Sendable (Int) -> [UInt8]
    /// A fresh X-Wing secret and the ciphertext that carries it to an onion public key.
    public var encapsulate: @Sendable ([UInt8]) throws(CryptoError) -> KEM.Encapsulation

    /// A source made of these three.
    public init(
        ephemeral: @escaping @Sendable () -> AgreementKey, fill: @escaping @Sendable (Int) -> [UInt8],
        encapsulate: @escaping @Sendable ([UInt8]) throws(CryptoError) -> KEM.Encapsulation
    ) {
        self.ephemeral = ephemeral
        self.fill = fill
        self.encapsulate = encapsulate
    }

    /// The operating system's randomness.
    public static let system = BuildSource(
        ephemeral: { AgreementKey() }, fill: { SecureRandom.bytes($0) },
        encapsulate: { (key: [UInt8]) throws(CryptoError) -> KEM.Encapsulation in try KEM.encapsulate(to: key) })
}
