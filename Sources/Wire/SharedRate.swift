/// A token bucket that several sources take from: while it is less than half full, each may have an equal part of the rate.
///
/// Sources belong to groups. Groups have equal parts of the rate, and the sources of a group equal parts of the group's.
/// A rate that only groups share has `Never` as its source.
public struct SharedRate<Group: Hashable & Sendable, Source: Hashable & Sendable>: Sendable {
    private static var window: TimeSpan { .seconds(1) }
    /// The most groups that are distinguished in a window, and the most sources; the others count as a single one that has
    /// taken nothing.
    private static var most: Int { 16_384 }

    private struct Part {
        /// The tokens that the group took in this window, without those beyond its sources' parts; 0 for a group that
        /// asked in vain.
        var taken = 0
        /// How many of its sources asked in this window.
        var sources = 0
    }

    private let perSecond: Int
    private var bucket: TokenBucket
    private var since: Instant
    private var parts: [Group: Part] = [:]
    /// The tokens that each source took in this window; 0 for a source that asked in vain.
    private var taken: [Source: Int] = [:]
    /// How many groups asked in the previous window, and of each group how many sources.
    private var groupsBefore = 0
    private var sourcesBefore: [Group: Int] = [:]

    /// A full bucket.
    public init(perSecond: Int, burst: Int, now: Instant) {
        self.perSecond = perSecond
        bucket = TokenBucket(perSecond: perSecond, burst: burst, now: now)
        since = now
    }

    /// Takes a token for `source` of `group` if the parts of both allow one.
    public mutating func take(_ source: Source, in group: Group, _ now: Instant) -> Bool {
        beginWindow(now)
        // A source that gets nothing is counted too; otherwise those that empty the bucket would share the rate among
        // themselves.
        if taken[source] == nil, taken.count < Self.most {
            taken[source] = 0
            if parts[group] != nil || parts.count < Self.most { parts[group, default: Part()].sources += 1 }
        }
        let share = max(1, share / max(1, sourcesBefore[group] ?? 0, parts[group]?.sources ?? 0))
        // Tokens beyond the source's part are not taken from the group's, which the other sources may need.
        let isTaken =
            taken[source] ?? 0 < share
            ? takePart(of: group, now) : !bucket.isBelowHalf(now) && bucket.take(now: now)
        if isTaken { taken[source]? += 1 }
        return isTaken
    }

    /// The part of each group in this window.
    private var share: Int { max(1, perSecond / max(1, groupsBefore, parts.count)) }

    /// Takes a token if the part of `group` allows one.
    private mutating func takePart(of group: Group, _ now: Instant) -> Bool {
        var part = parts[group]
        if part == nil, parts.count < Self.most {
            part = Part()
            parts[group] = part
        }
        if part?.taken ?? 0 >= share, bucket.isBelowHalf(now) { return false }
        guard bucket.take(now: now) else { return false }
        parts[group]?.taken += 1
        return true
    }

    private mutating func beginWindow(_ now: Instant) {
        let age = now - since
        guard age >= Self.window else { return }
        let isRecent = age < Self.window * 2
        groupsBefore = isRecent ? parts.count : 0
        sourcesBefore = isRecent && !taken.isEmpty ? parts.mapValues(\.sources) : [:]
        parts.removeAll(keepingCapacity: true)
        taken.removeAll(keepingCapacity: true)
        since = now
    }
}

extension SharedRate where Source == Never {
    /// Takes a token if the part of `group` allows one.
    public mutating func take(_ group: Group, _ now: Instant) -> Bool {
        beginWindow(now)
        return takePart(of: group, now)
    }
}
