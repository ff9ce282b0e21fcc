/// A type of control message with its limits, which both ends of a link must know (protocol.md, section 8).
public struct MessageKind: Hashable, Sendable {
    /// The first byte of the message's stream.
    public let raw: UInt8
    /// The longest body in bytes; a longer one resets the stream.
    public let longestBody: Int
    /// The longest answer in bytes; a longer one resets the stream.
    public let longestAnswer: Int

    /// The type `raw` with its limits.
    public init(raw: UInt8, longestBody: Int, longestAnswer: Int) {
        self.raw = raw
        self.longestBody = longestBody
        self.longestAnswer = longestAnswer
    }
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
}

extension MessageFamily {
    /// The type and limits of the message.
    public var kind: MessageKind {
        MessageKind(raw: rawValue, longestBody: longestBody, longestAnswer: longestAnswer)
    }

    /// All messages of the list.
    public static var kinds: [MessageKind] { allCases.map(\.kind) }
}
