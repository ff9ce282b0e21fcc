public import Link
public import Wire

/// The memory of answers above 64 KiB until they are written, over all links (docs/architecture/state.md, "Shares").
///
/// Once half is taken, one source holds an eighth at most, or one answer of any length. An answer that finds no room
/// takes that of one whose peer does not read: of the group that holds most, in it of the source that holds most, and of
/// that source the one that has stood still for longest. If all peers read, groups with several answers give some up to
/// a group without any, or to one that holds less all the same, and likewise the sources of a group. The only answer of
/// a group is not disturbed while its peer reads.
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

    /// The most places of a source, once `freely` are taken in all.
    private let most: Int
    private let freely: Int
    private var shares: GroupedShares<LinkSource.Group, LinkSource>
    private var held: [Answer: Held] = [:]

    /// Memory of `bytes` bytes for answers of at most `longest` bytes.
    public init(bytes: Int, longest: Int) {
        let capacity = max(1, bytes / Self.unit)
        most = max(capacity / 8, longest / Self.unit)
        freely = capacity / 2
        shares = GroupedShares(capacity: capacity)
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
        let all = shares.count + places
        let isOver = shares.places(of: source, in: source.group) + places > most && all > freely
        if isOver || all > shares.capacity {
            let wanted = all - shares.capacity
            let loser = isOver ? stalled(of: source, now) : stalled(of: nil, now) ?? loser(to: source, places, wanted)
            return loser.map { .after($0) } ?? .refused
        }
        shares.add(source, in: source.group, places: places)
        held[answer] = Held(source: source, places: places, sent: 0, movedAt: now)
        return .granted
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
        shares.release(entry.source, in: entry.source.group, places: entry.places)
    }

    /// The answer of `source`, or of any source if nil, that stands still and gives way first; nil if none stands still.
    private func stalled(of source: LinkSource?, _ now: Instant) -> Answer? {
        first { now - $0.movedAt >= Self.stall && (source == nil || $0.source == source) }
    }

    /// The answer whose peer reads and that gives way to one of `source` nevertheless; nil if none does, or if all that
    /// do would not free the `wanted` places.
    private func loser(to source: LinkSource, _ places: Int, _ wanted: Int) -> Answer? {
        guard yielding(to: source, places) >= wanted else { return nil }
        var answers: (groups: [LinkSource.Group: Int], sources: [LinkSource: Int]) = ([:], [:])
        for entry in held.values {
            answers.groups[entry.source.group, default: 0] += 1
            answers.sources[entry.source, default: 0] += 1
        }
        let own = (group: shares.places(of: source.group), source: shares.places(of: source, in: source.group))
        return first { entry in
            let group = entry.source.group
            if group == source.group {
                let theirs = shares.places(of: entry.source, in: group)
                return answers.sources[entry.source] != 1 && (own.source == 0 || theirs > own.source + places)
            }
            return answers.groups[group] != 1 && (own.group == 0 || shares.places(of: group) > own.group + places)
        }
    }

    /// The places that answers whose peers read would free for one of `source`.
    private func yielding(to source: LinkSource, _ places: Int) -> Int {
        let own = (group: shares.places(of: source.group), source: shares.places(of: source, in: source.group))
        // Each other group keeps one answer, perhaps its largest, and no fewer places than the new one's group then has.
        var (kept, keptOfOwn): ([LinkSource.Group: Int], [LinkSource: Int]) = ([:], [:])
        for entry in held.values {
            kept[entry.source.group] = max(kept[entry.source.group] ?? 0, entry.places)
            keptOfOwn[entry.source] = max(keptOfOwn[entry.source] ?? 0, entry.places)
        }
        var count = 0
        for (group, largest) in kept where group != source.group {
            count += max(0, shares.places(of: group) - max(largest, own.group == 0 ? 0 : own.group + places))
        }
        for (other, largest) in keptOfOwn where other.group == source.group && other != source {
            let least = max(largest, own.source == 0 ? 0 : own.source + places)
            count += max(0, shares.places(of: other, in: source.group) - least)
        }
        return count
    }

    /// Of the answers for which `condition` holds: one of the group with the most, in it of the source with the most,
    /// and of that source the one that has not moved for longest.
    private func first(where condition: (Held) -> Bool) -> Answer? {
        var best: (answer: Answer, size: (Int, Int), movedAt: Instant)?
        for (answer, entry) in held where condition(entry) {
            let group = entry.source.group
            let size = (shares.places(of: group), shares.places(of: entry.source, in: group))
            if let best, size == best.size ? entry.movedAt >= best.movedAt : size < best.size { continue }
            best = (answer, size, entry.movedAt)
        }
        return best?.answer
    }
}
