public import Wire

/// The address of a link's other end, and how it may change (protocol.md, section 3.9).
///
/// A client's link moves to a new address after that address has answered a challenge. Until then it gets no more bytes
/// than came from it. Links between nodes do not move.
public struct PeerAddress: Sendable {
    /// An address from which authentic packets came, and that has not yet answered a challenge.
    private struct Candidate: Sendable {
        var endpoint: Endpoint
        var challenge: UInt64
        var received: Int
        var sent: Int
        var challengedAt: Instant?
    }

    /// The wait before a challenge to the same address is repeated.
    public static let challengeInterval = TimeSpan.milliseconds(500)

    /// The address to which packets are sent.
    public private(set) var endpoint: Endpoint
    /// Whether it may change.
    public let mayMove: Bool
    private var candidate: Candidate?

    /// A link to `endpoint`; `mayMove` is true for a client.
    public init(_ endpoint: Endpoint, mayMove: Bool) {
        self.endpoint = endpoint
        self.mayMove = mayMove
    }

    /// Handles an authentic packet of `byteCount` bytes from `source`; returns the challenge to send there now, if any.
    ///
    /// `random` is eight unpredictable bytes, used when a new challenge begins. Call `challengeSent` after sending it.
    public mutating func received(from source: Endpoint, byteCount: Int, random: UInt64, now: Instant) -> UInt64? {
        guard source != endpoint else { return nil }
        guard mayMove else { return nil }
        if candidate?.endpoint != source {
            // One candidate at a time: another address replaces it only after the challenge has had its interval.
            if let other = candidate, let at = other.challengedAt, now - at < Self.challengeInterval { return nil }
            candidate = Candidate(endpoint: source, challenge: random, received: 0, sent: 0, challengedAt: nil)
        }
        candidate!.received += byteCount
        if let at = candidate!.challengedAt, now - at < Self.challengeInterval { return nil }
        guard candidate!.sent + byteCount <= candidate!.received else { return nil }
        return candidate!.challenge
    }

    /// The address to challenge.
    public var candidateEndpoint: Endpoint? { candidate?.endpoint }

    /// Records that a packet of `byteCount` bytes with the challenge was sent to the candidate.
    public mutating func challengeSent(byteCount: Int, now: Instant) {
        candidate?.sent += byteCount
        candidate?.challengedAt = now
    }

    /// Handles the echo `data` in a packet from `source`; true if the link has moved there.
    public mutating func answered(_ data: UInt64, from source: Endpoint) -> Bool {
        guard let candidate, candidate.challenge == data, candidate.endpoint == source, candidate.sent > 0 else {
            return false
        }
        endpoint = source
        self.candidate = nil
        return true
    }
}
