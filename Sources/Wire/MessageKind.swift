/// A type of control message with its limits, which both ends of a link must know (protocol.md, section 8).
public struct MessageKind: Hashable, Sendable {
    /// The first byte of the message's stream.
    public let raw: UInt8
    /// The longest body in bytes; a longer one resets the stream.
    public let longestBody: Int
    /// The longest answer in bytes; a longer one resets the stream.
    public let longestAnswer: Int
    /// Whose allowance it counts for.
    public let lane: MessageLane

    /// The type `raw` with its limits.
    public init(raw: UInt8, longestBody: Int, longestAnswer: Int, lane: MessageLane = .usual) {
        self.raw = raw
        self.longestBody = longestBody
        self.longestAnswer = longestAnswer
        self.lane = lane
    }
}

/// A set of control messages with an allowance of its own on a link: none of them takes a place of the others.
public enum MessageLane: Hashable, Sendable {
    /// Ends of paths, the directory, the ledger and tests.
    case usual
    /// The link itself: its keys and its end, which must not wait for what strangers cause.
    case link
    /// Builds of paths, which strangers cause.
    case builds
    /// Onion requests, which strangers cause.
    case requests
    /// The swarm store's copies and comparisons, which strangers cause too.
    case store
}

/// Why a control message got no answer.
public enum ControlFailure: Error, Equatable, Sendable {
    /// The other end refused it, or does not know its type.
    case refused
    /// No answer came in time.
    case timedOut
    /// The link is gone.
    case linkDown
    /// The link has its limit of messages under way, or the body is too long.
    case limit
}

/// The control messages of one module: a closed list, so that a switch over them must name each one.
///
/// The raw value is the first byte of a message's stream; no two lists share one.
public protocol MessageFamily: RawRepresentable<UInt8>, CaseIterable, Hashable, Sendable {
    /// The longest body in bytes.
    var longestBody: Int { get }
    /// The longest answer in bytes.
    var longestAnswer: Int { get }
    /// Whose allowance a message counts for; the usual one unless said otherwise.
    var lane: MessageLane { get }
}

extension MessageFamily {
    /// The lane of all messages of a family that does not say otherwise.
    public var lane: MessageLane { .usual }

    /// The type and limits of the message.
    public var kind: MessageKind {
        MessageKind(raw: rawValue, longestBody: longestBody, longestAnswer: longestAnswer, lane: lane)
    }

    /// All messages of the list.
    public static var kinds: [MessageKind] { allCases.map(\.kind) }
}
