public import OnionCrypto
public import Wire

/// A node's keys for links: its signing key and the corresponding X25519 key (protocol.md, section 2).
///
/// Handshakes share one object, so that the secret is in memory once.
public final class LinkIdentity {
    /// The Ed25519 key pair.
    public let signingKey: SigningKey
    /// The static key pair of handshakes.
    public let agreementKey: AgreementKey
    /// The public half of `agreementKey`.
    public var linkKey: Bytes32 { agreementKey.publicKey }
    /// The node id: the public half of `signingKey`.
    public let nodeID: Bytes32
    /// The last timestamp that an initiation of this node carried, in nanoseconds since 1970.
    private var lastTimestamp: UInt64 = 0

    /// The identity of `signingKey`.
    public init(_ signingKey: consuming SigningKey) {
        agreementKey = signingKey.agreementKey()
        nodeID = signingKey.publicKey
        self.signingKey = signingKey
    }

    /// An identity whose link key does not belong to its signing key, for published test vectors.
    init(testing agreementKey: consuming AgreementKey) {
        let signingKey = SigningKey()
        nodeID = signingKey.publicKey
        self.signingKey = signingKey
        self.agreementKey = agreementKey
    }

    /// A timestamp greater than the one before: `wallClock` in nanoseconds since 1970, or the last one plus 1.
    ///
    /// If the clock was set back by more than a timestamp may be ahead, timestamps follow the clock again: no peer
    /// would accept the others.
    func nextTimestamp(_ wallClock: UInt64) -> UInt64 {
        let isFarBack = lastTimestamp > wallClock && lastTimestamp - wallClock > TimestampMemory.longestAhead
        lastTimestamp = isFarBack || wallClock > lastTimestamp ? wallClock : lastTimestamp &+ 1
        return lastTimestamp
    }
}
