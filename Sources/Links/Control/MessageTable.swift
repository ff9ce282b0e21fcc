internal import Wire

/// The control messages that an end takes, by the first byte of their streams.
struct MessageTable {
    private var kinds = [MessageKind?](repeating: nil, count: 256)
    /// The longest body of any of them in bytes.
    private(set) var longestBody = 0
    /// The longest answer to any of them in bytes.
    private(set) var longestAnswer = 0

    /// A table of `kinds`, no two of which have one first byte.
    init(_ kinds: [MessageKind]) {
        for kind in kinds {
            precondition(self.kinds[Int(kind.raw)] == nil, "two control messages with the same first byte")
            self.kinds[Int(kind.raw)] = kind
            longestBody = max(longestBody, kind.longestBody)
            longestAnswer = max(longestAnswer, kind.longestAnswer)
        }
    }

    /// The message that begins with `raw`; nil for one that this end does not know.
    subscript(raw: UInt8) -> MessageKind? { kinds[Int(raw)] }
}
