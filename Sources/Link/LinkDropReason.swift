/// Why a datagram of a link had no effect; none of these is ever answered.
public enum LinkDropReason: UInt8, Error, CaseIterable, Sendable {
    /// Not of the network's packet size.
    case wrongSize
    /// A handshake type that does not exist, or one that only nodes take.
    case unknownType
    /// mac1 is wrong.
    case badMAC
    /// A cookie was due, and as many as allowed have been sent to addresses of that prefix already.
    case cookieLimit
    /// More initiations from one source than allowed.
    case sourceLimit
    /// A client's initiation that was seen before.
    case replayedInitiation
    /// A handshake message that is not authentic, or with a key of low order.
    case badHandshake
    /// An authentic handshake message with fields that may not be so.
    case malformed
    /// The initiating node is not a staked one, or is not the one it says.
    case notStaked
    /// A node's initiation that is not newer than the last, or whose time is too far ahead.
    case staleTimestamp
    /// A response or cookie that nobody waits for.
    case unexpectedAnswer
    /// No link, or no key of one, has this receiver index.
    case unknownIndex
    /// The link counter has been seen, or is behind the window.
    case replayedPacket
    /// The header's tag is wrong.
    case badHeader
    /// The control counter has been seen, or is outside of what may come.
    case replayedControl
    /// The tag of a control packet's payload is wrong.
    case badControl
    /// A packet of a path on a link that carries none here.
    case unknownPath
    /// As many links as there may be.
    case linkLimit
    /// What follows from a packet can no longer be sent: the queue is full or the link gone.
    case notSendable

    /// What status and metrics call it.
    public var name: String {
        switch self {
        case .wrongSize: "wrongSize"
        case .unknownType: "unknownType"
        case .badMAC: "badMAC"
        case .cookieLimit: "cookieLimit"
        case .sourceLimit: "sourceLimit"
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

/// How many datagrams had no effect, by reason.
public struct DropCounters: Sendable {
    private var counts = [UInt64](repeating: 0, count: LinkDropReason.allCases.count)

    /// All zero.
    public init() {}

    /// Adds one.
    public mutating func count(_ reason: LinkDropReason) { counts[Int(reason.rawValue)] &+= 1 }

    /// How many had no effect because of `reason`.
    public subscript(_ reason: LinkDropReason) -> UInt64 { counts[Int(reason.rawValue)] }

    /// The reasons that occurred, by name, for status and metrics.
    public var byName: [String: UInt64] {
        var result: [String: UInt64] = [:]
        for reason in LinkDropReason.allCases where self[reason] > 0 { result[reason.name] = self[reason] }
        return result
    }

    /// How many had no effect.
    public var total: UInt64 { counts.reduce(0, &+) }
}
