internal import Link
internal import Links

/// What this node has at each next hop, with shares: builds whose answers it awaits, or paths.
///
/// The next hop cannot tell their sources apart, and takes only so many of one node. Each network of addresses may have as
/// many over a link as places are free, and within it each address as many as its network may still have: one source
/// alone gets a third, and leaves room for others. A node is a network alone, since many clients are behind it. Nothing
/// is taken back: a build holds its place at the next hop until that answers, and a path may be in use.
struct OnwardShares {
    private struct Places {
        var count = 0
        var groups: [LinkSource.Group: Int] = [:]
        var sources: [LinkSource: Int] = [:]
    }

    /// The places on one link.
    private let capacity: Int
    private var links: [LinkID: Places] = [:]

    /// None is taken yet; each link has `capacity` places.
    init(capacity: Int) { self.capacity = capacity }

    /// Takes a place over `next` for `source`; false if it has its share.
    mutating func take(over next: LinkID, for source: LinkSource) -> Bool {
        let places = links[next]
        let ofGroup = places?.groups[source.group] ?? 0
        let left = capacity - (places?.count ?? 0) - ofGroup
        let isNode = if case .node = source { true } else { false }
        guard left > 0, isNode || places?.sources[source] ?? 0 < left else { return false }
        links[next, default: Places()].count += 1
        links[next]?.groups[source.group, default: 0] += 1
        if !isNode { links[next]?.sources[source, default: 0] += 1 }
        return true
    }

    /// Returns a place; has no effect if the link has ended.
    mutating func release(over next: LinkID, of source: LinkSource) {
        guard let count = links[next]?.count else { return }
        guard count > 1 else {
            links[next] = nil
            return
        }
        links[next]?.count -= 1
        Self.release(source.group, in: &links[next]!.groups)
        Self.release(source, in: &links[next]!.sources)
    }

    /// Forgets a link that has ended.
    mutating func linkEnded(_ link: LinkID) { links[link] = nil }

    private static func release<Key>(_ key: Key, in counts: inout [Key: Int]) {
        guard let count = counts[key] else { return }
        counts[key] = count > 1 ? count - 1 : nil
    }
}
