internal import Link
internal import Links
internal import Onion
internal import Wire

/// A path id and records: the body of BUILD or BUILT.
struct PathRecords {
    static func encode(pathID: UInt64, _ records: [UInt8]) -> [UInt8] { BuildMessage.encode(pathID: pathID, records) }

    let pathID: UInt64
    let records: [UInt8]

    /// Parses a body whose records have `recordsSize` bytes; nil if it is malformed.
    init?(_ body: [UInt8], recordsSize: Int) {
        guard body.count == 8 + recordsSize else { return nil }
        pathID = unsafe body.rawSpan.unsafeLoadUnaligned(as: UInt64.self).littleEndian
        records = Array(body.dropFirst(8))
    }
}

/// A build that waits for its turn.
struct WaitingBuild {
    let message: PathRecords
    let link: LinkID
    let source: LinkSource
    let isNode: Bool
    /// When it came.
    let since: Instant
    let answer: ControlResponder
}

/// A build that waits for its next hop.
///
/// The keys and the reply can each be taken once.
final class PendingBuild {
    let records: [UInt8]
    let previous: LinkID
    let previousID: UInt64
    let isNode: Bool
    /// When it came.
    let since: Instant
    let answer: ControlResponder
    private var keys: HopKeys?
    private var reply: HopReply?

    init(
        keys: consuming HopKeys, reply: consuming HopReply, records: [UInt8], previous: LinkID, previousID: UInt64,
        isNode: Bool, since: Instant, answer: ControlResponder
    ) {
        self.keys = consume keys
        self.reply = consume reply
        self.records = records
        self.previous = previous
        self.previousID = previousID
        self.isNode = isNode
        self.since = since
        self.answer = answer
    }

    func takeKeys() -> HopKeys? { keys.take() }
    func takeReply() -> HopReply? { reply.take() }
}
