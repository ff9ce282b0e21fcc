/// Why a datagram of a link had no effect; no such datagram is answered.
public enum LinkDropReason: UInt8, Error, CaseIterable, Sendable {
    /// The datagram does not have the network's packet size.
    case wrongSize
    /// The handshake type does not exist, or only nodes accept it.
    case unknownType
    /// mac1 is wrong: the sender does not know this node's key or network (protocol.md, section 3).
    case badMAC
    /// A cookie was due, but the limit of cookies for the address, for its prefix, or for all is reached.
    case cookieLimit
    /// The source has sent more initiations than allowed.
    case sourceLimit
    /// The budget of handshakes has none left for the source.
    case handshakeLimit
    /// A client's initiation has been seen before.
    case replayedInitiation
    /// A handshake message is not authentic, or has a low-order key.
    case badHandshake
    /// An authentic handshake message has invalid fields.
    case malformed
    /// The initiating node is not staked, or its id does not match its key.
    case notStaked
    /// A node's initiation is not newer than the last one, or its time is too far ahead.
    case staleTimestamp
    /// A response or cookie for which no handshake waits.
    case unexpectedAnswer
    /// No link's keys have this receiver index.
    case unknownIndex
    /// The link counter has been seen, or is below the window.
    case replayedPacket
    /// The header's tag is wrong.
    case badHeader
    /// The control counter has been seen, or is outside of the valid range.
    case replayedControl
    /// The tag of a control packet's payload is wrong.
    case badControl
    /// A packet with a path id on a link that carries no paths here.
    case unknownPath
    /// The table of links is full.
    case linkLimit
    /// The result of a packet cannot be sent: the queue is full or the link is gone.
    case notSendable

    /// The name in status and metrics.
    public var name: String {
        switch self {
        case .wrongSize: "wrongSize"
        case .unknownType: "unknownType"
        case .badMAC: "badMAC"
        case .cookieLimit: "cookieLimit"
        case .sourceLimit: "sourceLimit"
        case .handshakeLimit: "handshakeLimit"
        case .replayedInitiation: "replayedInitiation"
        case .badHandshake: "badHandshake"
        case .malformed: "malformed"
        case .notStaked: "notStaked"
        case .staleTimestamp: "staleTimestamp"
        case .unexpectedAnswer: "unexpectedAnswer"
        case .unknownIndex: "unknownIndex"
        case .replayedPacket: "replayedPacket"
        case .badHeader: "badHeader"
        case .replayedControl: "replayedControl"
        case .badControl: "badControl"
        case .unknownPath: "pathlessPacket"
        case .linkLimit: "linkLimit"
        case .notSendable: "notSendable"
        }
    }
}

/// How many datagrams were dropped, by reason.
public struct DropCounters: Sendable {
    private var counts = [UInt64](repeating: 0, count: LinkDropReason.allCases.count)

    /// Counters of zero.
    public init() {}

    /// Adds one dropped packet; the count wraps at 2^64.
    public mutating func count(_ reason: LinkDropReason) { counts[Int(reason.rawValue)] &+= 1 }

    /// How many were dropped for `reason`.
    public subscript(_ reason: LinkDropReason) -> UInt64 { counts[Int(reason.rawValue)] }

    /// The reasons that occurred, by name, for status and metrics.
    public var byName: [String: UInt64] {
        var result: [String: UInt64] = [:]
        for reason in LinkDropReason.allCases where self[reason] > 0 { result[reason.name] = self[reason] }
        return result
    }

    /// How many were dropped in all.
    public var total: UInt64 { counts.reduce(0, &+) }
}
