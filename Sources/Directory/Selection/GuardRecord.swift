internal import Wire

/// How a ready path has ended, as far as its guard may have caused it.
public enum PathLoss: UInt8, Sendable {
    /// Nothing can be said of the guard: the path counts neither for it nor against it.
    case unknown
    /// It stood for a minute, and ended before the client was done with it: half a fault.
    case early
    /// It ended within a minute of being ready: a whole fault.
    case young
}

/// How the last ready paths through one guard ended: what a guard does that lets every build succeed, and ends those behind which
/// it finds no friend.
///
/// A path counts as good from when it is ready, until it ends at another's wish. So paths that end at once do not stand alone
/// against the good ones, which last.
///
/// Exits and second hops can end paths too. The second hop and the exit with most faults are left out, so none of them alone can
/// make a guard look bad. A party that has two of the four second hops can end one path of three of those that are left.
struct GuardRecord: Hashable, Sendable {
    /// How many paths are remembered.
    static let size = 80
    /// How many of them, without those left out, it takes for a judgement of the guard, and of the guards beside it.
    static let least = 28, leastBeside = 20

    private struct Entry: Hashable {
        let number: UInt64
        let middle: NodeID
        let exit: NodeID
        var halves = 0
    }

    /// Faults in halves, and of how many paths.
    struct Count: Hashable, Sendable {
        var halves = 0, paths = 0

        /// Whether more than three of five of enough paths were faults.
        var isMost: Bool { paths >= GuardRecord.least && 5 * halves > 6 * paths }

        /// Whether `others` were enough, and had less than a third of these faults.
        func standsOut(from others: Count) -> Bool {
            others.paths >= GuardRecord.leastBeside && 3 * others.halves * paths < halves * others.paths
        }

        static func + (a: Count, b: Count) -> Count { Count(halves: a.halves + b.halves, paths: a.paths + b.paths) }
    }

    private var entries: [Entry] = []

    /// Path `number` over `hops` is ready; a path of one hop has no guard to speak of.
    mutating func ready(_ number: UInt64, _ hops: [NodeID]) {
        guard hops.count > 1 else { return }
        if entries.count >= Self.size { makeRoom() }
        entries.append(Entry(number: number, middle: hops[1], exit: hops[hops.count - 1]))
    }

    /// The oldest path to the exit with most of them goes, so that a session that lasts does not stand for all exits.
    private mutating func makeRoom() {
        let counts = entries.reduce(into: [:]) { $0[$1.exit, default: 0] += 1 }
        let most = counts.values.max()
        if let oldest = entries.firstIndex(where: { counts[$0.exit] == most }) { entries.remove(at: oldest) }
    }

    /// Path `number` has ended; whether it was known.
    mutating func ended(_ number: UInt64, _ end: PathLoss) -> Bool {
        guard let place = entries.lastIndex(where: { $0.number == number }) else { return false }
        switch end {
        case .unknown: entries.remove(at: place)
        case .early, .young: entries[place].halves = Int(end.rawValue)
        }
        return true
    }

    /// What counts, without the second hop and the exit that have most faults.
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
        // Of equal ones always the same.
        guard let worst = halves.max(by: { ($0.value, $0.key) < ($1.value, $1.key) }), worst.value > 0 else {
            return entries
        }
        return entries.filter { $0[keyPath: hop] != worst.key }
    }
}
