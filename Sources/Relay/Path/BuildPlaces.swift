internal import Link
internal import Links

/// The builds that this node has passed on and whose answers it awaits, with shares at each link to a next hop.
///
/// Each network of addresses may have as many builds under way over a link as places are free, and within it each
/// address as many as its network may still have: one source alone gets a third, and leaves room for others. A node is a
/// network alone, since many clients are behind it.
struct BuildPlaces {
    private struct Places {
        var count = 0
        var groups: [LinkSource.Group: Int] = [:]
        var sources: [LinkSource: Int] = [:]
    }

    /// The places on one link.
    private let capacity: Int
    private var links: [LinkID: Places] = [:]

    /// No builds yet; each link has `capacity` places.
    init(capacity: Int) { self.capacity = capacity }

    /// Takes a place over `next` for `source`; false if it has its share.
    mutating func take(over next: LinkID, for source: LinkSource) -> Bool {
        let places = links[next] ?? Places()
        let ofGroup = places.groups[source.group] ?? 0
        let left = capacity - places.count - ofGroup
        guard left > 0, (places.sources[source] ?? 0) < left || isNode(source) else { return false }
        links[next, default: Places()].count += 1
        links[next]?.groups[source.group] = ofGroup + 1
        if !isNode(source) { links[next]?.sources[source, default: 0] += 1 }
        return true
    }

    /// Returns a place; has no effect if the link has ended.
    mutating func release(over next: LinkID, of source: LinkSource) {
        guard links[next] != nil else { return }
        links[next]?.count -= 1
        Self.release(source.group, in: &links[next]!.groups)
        Self.release(source, in: &links[next]!.sources)
        if links[next]?.count == 0 { links[next] = nil }
    }

    /// Forgets a link that has ended.
    mutating func linkEnded(_ link: LinkID) { links[link] = nil }

    private func isNode(_ source: LinkSource) -> Bool {
        switch source {
        case .node: true
        case .client: false
        }
    }

    private static func release<Key>(_ key: Key, in counts: inout [Key: Int]) {
        guard let count = counts[key] else { return }
        counts[key] = count > 1 ? count - 1 : nil
    }
}
