public import OnionCrypto
internal import Wire

/// The keys that one hop and the client share for the hop's layers (protocol.md, section 6.4).
public struct HopKeys: ~Copyable {
    /// The hop's slot, 1 to 4; the terminal's is 4.
    public let slot: Int
    /// The AEAD of both directions.
    public let suite: Suite
    let forward: Secret
    let backward: Secret
    let forwardStart: UInt64
    let backwardStart: UInt64

    /// The keys derived from a path's `secret` for the hop at `slot`.
    public init(secret: borrowing Secret, slot: Int, suite: Suite) {
        precondition((1...Packet.slotCount).contains(slot), "there are four slots")
        self.slot = slot
        self.suite = suite
        forward = secret.derive("forward")
        backward = secret.derive("backward")
        forwardStart = secret.deriveNumber("forward start") >> 17
        backwardStart = secret.deriveNumber("backward start") >> 17
    }

    /// The hop's own ends of the two directions: it opens forward and seals backward.
    consuming func hopEnds(now: Instant) -> HopLayers {
        HopLayers(
            opener: LayerOpener(suite, forward, start: forwardStart),
            sealer: LayerSealer(suite, backward, start: backwardStart, now: now))
    }

    /// The client's ends of the two directions: it seals forward and opens backward.
    consuming func clientEnds(now: Instant) -> HopLayers {
        HopLayers(
            opener: LayerOpener(suite, backward, start: backwardStart),
            sealer: LayerSealer(suite, forward, start: forwardStart, now: now))
    }
}

/// One end's two layers of a hop.
@usableFromInline
struct HopLayers: ~Copyable {
    @usableFromInline var opener: LayerOpener
    @usableFromInline var sealer: LayerSealer
}

/// The two secrets that a client and its terminal share for sessions (protocol.md, sections 6.4 and 7).
public struct SessionSecrets: ~Copyable {
    /// The secret of a session that this path opens.
    public let session: Secret
    /// The secret by which this path proves that it may join a session.
    public let leg: Secret

    /// The session secrets derived from `secret` of a path, at the terminal only.
    public init(secret: borrowing Secret) {
        session = secret.derive("session")
        leg = secret.derive("leg")
    }
}
