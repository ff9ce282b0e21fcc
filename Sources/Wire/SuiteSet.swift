/// A set of AEAD suites, as descriptors and the initiations of links carry it: bit 0 is suite 1, bit 1 is suite 2.
public struct SuiteSet: OptionSet, Hashable, Sendable {
    /// The bits on the wire.
    public let rawValue: UInt8

    /// The set with the bits `rawValue`.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Suite 1, AES-256-GCM.
    public static let aes256gcm = SuiteSet(rawValue: 1)
    /// Suite 2, ChaCha20-Poly1305.
    public static let chacha20poly1305 = SuiteSet(rawValue: 2)
    /// All suites that the protocol knows.
    public static let known: SuiteSet = [.aes256gcm, .chacha20poly1305]
}
