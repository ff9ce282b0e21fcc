public import Wire

/// The control messages that an end accepts, by the first byte of their streams.
public struct MessageTable: Sendable {
    private var kinds = [MessageKind?](repeating: nil, count: 256)
    /// The longest answer to any of them in bytes.
    public private(set) var longestAnswer = 0

    /// A table of `kinds` and of the messages that every link accepts; no two may have the same first byte.
    public init(_ kinds: [MessageKind]) {
        for kind in kinds + LinkMessage.kinds {
            precondition(self.kinds[Int(kind.raw)] == nil, "two control messages with the same first byte")
            self.kinds[Int(kind.raw)] = kind
            longestAnswer = max(longestAnswer, kind.longestAnswer)
        }
    }

    /// The message that begins with `raw`; nil for one that this end does not know.
    subscript(_ raw: UInt8) -> MessageKind? { kinds[Int(raw)] }
}
