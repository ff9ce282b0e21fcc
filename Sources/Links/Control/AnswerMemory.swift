internal import Link
internal import Wire

/// What answers above 64 KiB hold until they are written, over all links (docs/architecture.md, "Shares").
///
/// One source holds an eighth at the most, or one answer of any length, once half is taken. An answer that finds no room takes that of the
/// one whose peer has read least lately, first among those of the source that holds most. A peer that reads is not disturbed.
final class AnswerMemory {
    /// The unit that is counted, and the length from which answers count.
    static let unit = 64 << 10
    /// How long an answer must have stood still to give way.
    static let stall = TimeSpan.seconds(1)

    /// An answer that counts.
    private struct Held {
        let source: LinkSource
        let places: Int
        /// What was written when it last moved by a unit, and when that was.
        var sent: Int
        var movedAt: Instant
    }

    private var shares: Shares<LinkSource>
    private var held: [ControlResponder: Held] = [:]

    /// Room for `bytes`, where an answer has at most `longest`.
    init(bytes: Int, longest: Int) {
        let capacity = max(1, bytes / Self.unit)
        shares = Shares(capacity: capacity, most: max(capacity / 8, longest / Self.unit), freely: capacity / 2)
    }

    /// The bytes that are held, in whole units.
    var bytes: Int { shares.count * Self.unit }

    /// What an answer gets.
    enum Admission: Equatable {
        /// Its memory, which is counted until `release`.
        case granted
        /// Nothing yet: refuse this message, and ask again.
        case after(ControlResponder)
        /// Nothing.
        case refused
    }

    /// Counts an answer of `count` bytes on a link of `source`.
    func take(_ count: Int, for answer: ControlResponder, of source: LinkSource, now: Instant) -> Admission {
        guard count > Self.unit else { return .granted }
        let places = (count + Self.unit - 1) / Self.unit
        guard places <= shares.capacity else { return .refused }
        let victim: ControlResponder?
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
    func moved(_ answer: ControlResponder, sent: Int, now: Instant) {
        guard let entry = held[answer], sent - entry.sent >= Self.unit else { return }
        held[answer]!.sent = sent
        held[answer]!.movedAt = now
    }

    /// The answer is written, or given up.
    func release(_ answer: ControlResponder) {
        guard let entry = held.removeValue(forKey: answer) else { return }
        shares.release(entry.source, places: entry.places)
    }

    /// Of the answers of `source`, or of all, the one that has stood still for longest, if that is too long.
    private func stalest(of source: LinkSource?, _ now: Instant) -> ControlResponder? {
        var best: (answer: ControlResponder, movedAt: Instant)?
        for (answer, entry) in held where source == nil || entry.source == source {
            guard now - entry.movedAt >= Self.stall, best.map({ entry.movedAt < $0.movedAt }) ?? true else { continue }
            best = (answer, entry.movedAt)
        }
        return best?.answer
    }
}
