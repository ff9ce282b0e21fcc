public import Link
public import Wire

/// The memory of answers above 64 KiB until they are written, over all links (docs/architecture/state.md, "Shares").
///
/// Once half is taken, one source holds an eighth at most, or one answer of any length. An answer that finds no room
/// takes that of an answer whose peer has not read for longest, first of the source that holds most. A peer that reads
/// is not disturbed.
public struct AnswerMemory<Answer: Hashable> {
    /// The unit that is counted, and the longest answer that is not counted.
    static var unit: Int { MessageExchange.uncountedAnswer }
    /// How long an answer must have stood still to give way.
    static var stall: TimeSpan { .seconds(1) }

    /// An answer that is counted.
    private struct Held {
        let source: LinkSource
        let places: Int
        /// How many bytes were written when the answer last moved by a unit, and when that was.
        var sent: Int
        var movedAt: Instant
    }

    private var shares: Shares<LinkSource>
    private var held: [Answer: Held] = [:]

    /// Memory of `bytes` bytes for answers of at most `longest` bytes.
    public init(bytes: Int, longest: Int) {
        let capacity = max(1, bytes / Self.unit)
        shares = Shares(capacity: capacity, most: max(capacity / 8, longest / Self.unit), freely: capacity / 2)
    }

    /// The bytes in use, in whole units.
    public var bytes: Int { shares.count * Self.unit }

    /// The reply to a request for memory.
    public enum Admission: Equatable {
        /// The memory, which is counted until `release`.
        case granted
        /// No memory yet: release this answer, abandon its message, then ask again.
        case after(Answer)
        /// No memory.
        case refused
    }

    /// Counts an answer of `count` bytes on a link of `source`.
    public mutating func take(_ count: Int, for answer: Answer, of source: LinkSource, now: Instant) -> Admission {
        guard count > Self.unit else { return .granted }
        let places = (count + Self.unit - 1) / Self.unit
        guard places <= shares.capacity else { return .refused }
        let victim: Answer?
        switch shares.take(for: source, places: places) {
        case .granted:
            held[answer] = Held(source: source, places: places, sent: 0, movedAt: now)
            return .granted
        case .shareUsed: victim = stalest(of: source, now)
        case .makeRoom(let largest): victim = stalest(of: largest, now) ?? stalest(of: nil, now)
        case .full: victim = stalest(of: nil, now)
        }
        return victim.map { .after($0) } ?? .refused
    }

    /// Notes that `sent` bytes of an answer have been written.
    public mutating func moved(_ answer: Answer, sent: Int, now: Instant) {
        guard var entry = held[answer], sent - entry.sent >= Self.unit else { return }
        entry.sent = sent
        entry.movedAt = now
        held[answer] = entry
    }

    /// Releases the memory of an answer that is written or given up.
    public mutating func release(_ answer: Answer) {
        guard let entry = held.removeValue(forKey: answer) else { return }
        shares.release(entry.source, places: entry.places)
    }

    /// The answer of `source`, or of any source if nil, that has stood still for longest; nil if none has for `stall`.
    private func stalest(of source: LinkSource?, _ now: Instant) -> Answer? {
        var best: (answer: Answer, movedAt: Instant)?
        for (answer, entry) in held where source == nil || entry.source == source {
            guard now - entry.movedAt >= Self.stall, best.map({ entry.movedAt < $0.movedAt }) ?? true else { continue }
            best = (answer, entry.movedAt)
        }
        return best?.answer
    }
}
