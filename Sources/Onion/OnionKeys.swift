public import OnionCrypto
public import Wire

/// A node's onion keys, current and previous (protocol.md, section 6); they are kept in memory only.
public struct OnionKeys {
    /// How long a key is the current one; it stays valid for the same time afterwards.
    public static let rotation = TimeSpan.seconds(24 * 3_600)

    /// One key; other threads may use it too.
    public struct Key: Sendable {
        /// The X-Wing key pair.
        public let pair: KEM.PrivateKey
        /// The first eight bytes of the hash, by which records and envelopes name the key.
        public let id: UInt64
        /// BLAKE2b-256 of the public key.
        public let hash: Bytes32

        init(_ pair: KEM.PrivateKey) {
            self.pair = pair
            hash = Blake2b.digest(pair.publicKey.rawSpan)
            id = OnionKeys.id(of: hash)
        }
    }

    private(set) var current: Key
    private(set) var previous: Key?
    /// When the current key is to be replaced.
    public private(set) var nextRotation: Instant

    /// A fresh key, current since `now` and for `firstLife`, which is random so that nodes that started together rotate
    /// at different times.
    public init(now: Instant, firstLife: TimeSpan = OnionKeys.rotation) throws(CryptoError) {
        self.init(try KEM.PrivateKey(), now: now)
        nextRotation = now + firstLife
    }

    /// The given key pair, current since `now`.
    public init(_ pair: KEM.PrivateKey, now: Instant) {
        current = Key(pair)
        nextRotation = now + Self.rotation
    }

    /// The public half of the current key, for the descriptor.
    public var publicKey: [UInt8] { current.pair.publicKey }

    /// Replaces the current key when its time is over; the previous one is wiped.
    ///
    /// - Returns: whether a new descriptor must be made.
    public mutating func advance(_ now: Instant) throws(CryptoError) -> Bool {
        guard now >= nextRotation else { return false }
        rotate(to: try KEM.PrivateKey(), now: now)
        return true
    }

    mutating func rotate(to pair: KEM.PrivateKey, now: Instant) {
        // After a long sleep the current key is past that time too.
        previous = now - nextRotation < Self.rotation ? current : nil
        current = Key(pair)
        nextRotation = now + Self.rotation
    }

    /// The key with the id in a record, if the node still holds it.
    public func key(id: UInt64) -> Key? {
        if current.id == id { return current }
        return previous?.id == id ? previous : nil
    }

    static func id(of hash: Bytes32) -> UInt64 {
        hash.withBytes { unsafe UInt64(littleEndian: $0.unsafeLoadUnaligned(as: UInt64.self)) }
    }
}
