internal import Link
internal import Links
internal import Wire

/// What this node has at each next hop, with shares: builds whose answers it awaits, or paths.
///
/// The next hop cannot tell their sources apart, and takes only so many of one node. Each network of addresses may have as
/// many over a link as places are free, and within it each address as many as its network may still have: one source
/// alone gets a third, and leaves room for others. A node is a network alone, since many clients are behind it. The last
/// quarter of the places is for networks that have less than a 64th of all, so those that take what they get one
/// after the other leave a newcomer some.
struct OnwardShares {
    /// The places on one link.
    private let capacity: Int
    private var links: [LinkID: GroupedShares<LinkSource.Group, LinkSource>] = [:]

    /// None is taken yet; each link has `capacity` places.
    init(capacity: Int) { self.capacity = capacity }

    /// Takes a place over `next` for `source`; false if it has its share.
    mutating func take(over next: LinkID, for source: LinkSource) -> Bool {
        let places = links[next]
        let ofGroup = places?.places(of: source.group) ?? 0
        let free = capacity - (places?.count ?? 0)
        let isNode = if case .node = source { true } else { false }
        guard ofGroup < free, isNode || places?.places(of: source, in: source.group) ?? 0 < free - ofGroup,
            free > capacity / 4 || ofGroup < max(1, capacity / 64)
        else { return false }
        add(source, over: next)
        return true
    }

    /// Counts a place over `next` for `source`, which another has given up.
    mutating func add(_ source: LinkSource, over next: LinkID) {
        links[next, default: GroupedShares(capacity: capacity)].add(source, in: source.group)
    }

    /// The source that gives up a place over `next` to `source`, which got none.
    ///
    /// It has the most in the network with the most; nil if that has less than two more than the network of `source`.
    func loser(over next: LinkID, for source: LinkSource) -> LinkSource? {
        guard let places = links[next], let largest = places.largest,
            places.places(of: largest) >= places.places(of: source.group) + 2
        else { return nil }
        return places.largest(in: largest)
    }

    /// Returns a place; has no effect if the link has ended.
    mutating func release(over next: LinkID, of source: LinkSource) {
        guard let places = links[next], places.places(of: source, in: source.group) > 0 else { return }
        links[next]?.release(source, in: source.group)
        if links[next]?.count == 0 { links[next] = nil }
    }

    /// Forgets a link that has ended.
    mutating func linkEnded(_ link: LinkID) { links[link] = nil }
}
