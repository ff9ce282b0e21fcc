internal import Wire

/// How a ready path ended, as far as its guard may have caused it.
public enum PathLoss: UInt8, Sendable {
    /// The end says nothing about the guard: the path does not count.
    case unknown
    /// It ended more than a minute after it was ready, before the client was done with it: half a fault.
    case early
    /// It ended within a minute after it was ready: a whole fault.
    case young
}

/// How the last ready paths through one guard ended; this finds a guard that lets every build succeed and ends the
/// paths without a colluding node behind it.
///
/// A path counts as good from the time it is ready until another party ends it. So paths that end at once are compared
/// with the good ones, which last.
///
/// Exits and second hops can end paths too. The second hop and the exit with the most faults are left out, so neither
/// alone can make a guard look bad. A party that has two of the four second hops can end one in three of the remaining
/// paths.
struct GuardRecord: Hashable, Sendable {
    /// The number of paths that are remembered.
    static let size = 80
    /// The number of counted paths that a judgement needs, of the guard, and of the other guards.
    static let least = 28, leastBeside = 20

    private struct Entry: Hashable {
        let number: UInt64
        let middle: NodeID
        let exit: NodeID
        var halves = 0
    }

    /// The faults, in halves, of a number of paths.
    struct Count: Hashable, Sendable {
        var halves = 0, paths = 0

        /// Whether there are enough paths, and more than three in five of them were faults.
        var isMost: Bool { paths >= GuardRecord.least && 5 * halves > 6 * paths }

        /// Whether `others` has enough paths, and less than a third of this fault rate.
        func standsOut(from others: Count) -> Bool {
            others.paths >= GuardRecord.leastBeside && 3 * others.halves * paths < halves * others.paths
        }

        static func + (a: Count, b: Count) -> Count { Count(halves: a.halves + b.halves, paths: a.paths + b.paths) }
    }

    private var entries: [Entry] = []

    /// Adds the ready path `number` over `hops`; ignores a path of one hop, which has no guard to judge.
    mutating func ready(_ number: UInt64, _ hops: [NodeID]) {
        guard hops.count > 1 else { return }
        if entries.count >= Self.size { makeRoom() }
        entries.append(Entry(number: number, middle: hops[1], exit: hops[hops.count - 1]))
    }

    /// Removes the oldest path to the most frequent exit, so that one long session does not represent all exits.
    private mutating func makeRoom() {
        let counts = entries.reduce(into: [:]) { $0[$1.exit, default: 0] += 1 }
        let most = counts.values.max()
        if let oldest = entries.firstIndex(where: { counts[$0.exit] == most }) { entries.remove(at: oldest) }
    }

    /// Records the end of path `number`; returns whether it was known.
    mutating func ended(_ number: UInt64, _ end: PathLoss) -> Bool {
        guard let place = entries.lastIndex(where: { $0.number == number }) else { return false }
        switch end {
        case .unknown: entries.remove(at: place)
        case .early, .young: entries[place].halves = Int(end.rawValue)
        }
        return true
    }

    /// The count without the second hop and the exit that have the most faults.
    var count: Count {
        let rest = Self.leavingOut(\.middle, of: entries)
        return Self.leavingOut(\.exit, of: rest).reduce(into: Count()) {
            $0.halves += $1.halves
            $0.paths += 1
        }
    }

    private static func leavingOut(_ hop: KeyPath<Entry, NodeID>, of entries: [Entry]) -> [Entry] {
        var halves: [NodeID: Int] = [:]
        for entry in entries { halves[entry[keyPath: hop], default: 0] += entry.halves }
        // Among equals the choice is always the same.
        guard let worst = halves.max(by: { ($0.value, $0.key) < ($1.value, $1.key) }), worst.value > 0 else {
            return entries
        }
        return entries.filter { $0[keyPath: hop] != worst.key }
    }
}
