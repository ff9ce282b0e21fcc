public import Wire

/// Whom a link counts for.
public enum LinkSource: Hashable, Sendable {
    /// A client, which has nothing but an address.
    case client(AddressShare)
    /// A node, whichever end began the link.
    case node(Bytes32)
}

/// Who holds the places of the table of links, and which link gives way to another (docs/architecture/state.md, "Shares").
///
/// Clients' links have three quarters of the table at the most, and so have nodes' links, whoever began them: a quarter is left
/// to either. An address, and a network of addresses, may have as many as are free, so that none fills the table; and 64, or an
/// eighth of the clients' part, however few are free. In a full table the network with the most gives way first.
///
/// The links are named by the owner, which tells of their state when it is asked for. Of a large table it is asked for a part
/// that changes from link to link (``mostAsked``).
public struct LinkPlaces<Link: Hashable & Sendable>: Sendable {
    /// What decides which link gives way.
    public struct State: Sendable {
        /// How many paths use the link.
        public var paths: Int
        /// Since when it has had no path, and no control message has gone either way.
        public var quietSince: Instant
        /// When it was made.
        public var since: Instant
        /// Whether its initiator has shown its keys.
        public var isUp: Bool

        /// The state of a link.
        public init(paths: Int, quietSince: Instant, since: Instant, isUp: Bool) {
            self.paths = paths
            self.quietSince = quietSince
            self.since = since
            self.isUp = isUp
        }
    }

    /// Where a new link may go.
    public enum Room: Equatable, Sendable {
        /// To a place that is free.
        case free
        /// To the place of this link, which gives way: remove it, then insert.
        case after(Link)
        /// Nowhere.
        case none
    }

    /// The links that one address may have however few places are free.
    public static var mostOfAddress: Int { 64 }
    /// The links that are up, and those that are half-open, that one node may have.
    public static var mostOfNode: Int { 2 }
    /// How long a new link is spared where a source gives way that has no more than others.
    public static var grace: TimeSpan { .seconds(2) }
    /// Of how many links of a kind the state is asked for, where one of all is to give way.
    static var mostAsked: Int { 256 }

    private struct Entry: Sendable {
        let source: LinkSource
        /// Where it stands among those of its kind.
        var number: Int
    }

    /// How many links there may be.
    public let capacity: Int
    /// The links that one network of addresses may have however few places are free.
    public let mostOfNetwork: Int
    private let part: Int
    private var clients: GroupedShares<NetworkShare, AddressShare>
    /// The links of each source, oldest first.
    private var members: [LinkSource: [Link]] = [:]
    private var entries: [Link: Entry] = [:]
    /// All links of clients, and all of nodes, in no order.
    private var clientLinks: [Link] = []
    private var nodeLinks: [Link] = []
    /// Where the next look at all links begins.
    private var nextLook = 0

    /// A table of `capacity` links.
    public init(capacity: Int) {
        self.capacity = capacity
        part = max(1, capacity - capacity / 4)
        mostOfNetwork = max(Self.mostOfAddress, part / 8)
        clients = GroupedShares(capacity: part)
    }

    /// How many links there are.
    public var count: Int { entries.count }
    /// How many of them are clients'.
    public var clientCount: Int { clientLinks.count }

    /// Whom `link` counts for.
    public func source(of link: Link) -> LinkSource? { entries[link]?.source }

    /// The links of `source`, oldest first.
    public func links(of source: LinkSource) -> [Link] { members[source] ?? [] }

    // MARK: Asking

    /// Where a new link of `source`, which began it, may go.
    public func room(for source: LinkSource, now: Instant, state: (Link) -> State) -> Room {
        switch source {
        case .client(let address): roomForClient(address, now, state)
        case .node: roomForNode(source, now, state)
        }
    }

    /// Where a link that this end begins may go: as long as nodes' links are within their part, a client's gives way to it.
    ///
    /// Strangers choose which nodes a relay links to, so own links take no more than that part.
    public func roomForOwn(state: (Link) -> State) -> Room {
        guard nodeLinks.count < part else {
            return quietest(aPart(of: nodeLinks), state).map { .after($0) } ?? .none
        }
        guard count >= capacity else { return .free }
        let largest = clients.largest
        if let link = largest.flatMap({ pathlessOfLargest(in: $0, state) }) { return .after(link) }
        if let link = quietest(aPart(of: clientLinks), state) ?? quietest(aPart(of: nodeLinks), state) {
            return .after(link)
        }
        return largest.flatMap { newestOfLargest(in: $0) }.map { .after($0) } ?? .none
    }

    private func roomForClient(_ address: AddressShare, _ now: Instant, _ state: (Link) -> State) -> Room {
        let network = address.network
        let own = clients.places(of: address, in: network)
        let free = part - clients.count
        if own >= max(Self.mostOfAddress, free) {
            return quietest(members[.client(address)] ?? [], state, madeBefore: now).map { .after($0) } ?? .none
        }
        let isNetworkFull = clients.places(of: network) >= max(mostOfNetwork, free)
        if !isNetworkFull, free > 0, count < capacity { return .free }
        let larger = isNetworkFull ? nil : clients.largest
        let loser: NetworkShare? =
            if let larger, clients.places(of: larger) > clients.places(of: network) + 1 {
                larger
            } else if let most = clients.largest(in: network), clients.places(of: most, in: network) > own + 1 {
                network
            } else {
                nil
            }
        if let link = loser.flatMap({ pathlessOfLargest(in: $0, state) }) { return .after(link) }
        if isNetworkFull {
            if let link = quietest(members[.client(address)] ?? [], state, madeBefore: now) { return .after(link) }
        } else {
            let mayTakeNodes = count >= capacity && nodeLinks.count > capacity / 4
            if let link = quietest(aPart(of: clientLinks), state, madeBefore: now)
                ?? (mayTakeNodes ? quietest(aPart(of: nodeLinks), state, madeBefore: now) : nil)
            {
                return .after(link)
            }
        }
        return loser.flatMap { newestOfLargest(in: $0) }.map { .after($0) } ?? .none
    }

    private func roomForNode(_ source: LinkSource, _ now: Instant, _ state: (Link) -> State) -> Room {
        let halfOpen = links(of: source).filter { !state($0).isUp }
        if halfOpen.count >= Self.mostOfNode { return .after(halfOpen[0]) }
        let hasRoom = nodeLinks.count < part
        if count < capacity, hasRoom { return .free }
        if hasRoom, let link = clients.largest.flatMap({ pathlessOfLargest(in: $0, state) }) { return .after(link) }
        let link =
            quietest(aPart(of: nodeLinks), state, madeBefore: now)
            ?? (hasRoom ? quietest(aPart(of: clientLinks), state, madeBefore: now) : nil)
        return link.map { .after($0) } ?? .none
    }

    /// The link to close when `source`, a node, has more links up than it may: one without paths, or else the oldest.
    public func surplus(of source: LinkSource, state: (Link) -> State) -> Link? {
        let up = links(of: source).filter { state($0).isUp }
        guard case .node = source, up.count > Self.mostOfNode else { return nil }
        // The newest is the one that has just shown that the node is there.
        let others = up.dropLast()
        return quietest(others, state) ?? others.first
    }

    /// Of the address with the most links in `network`, the link that has been without a path for longest.
    private func pathlessOfLargest(in network: NetworkShare, _ state: (Link) -> State) -> Link? {
        clients.largest(in: network).flatMap { quietest(members[.client($0)]?.prefix(Self.mostAsked) ?? [], state) }
    }

    private func newestOfLargest(in network: NetworkShare) -> Link? {
        clients.largest(in: network).flatMap { members[.client($0)]?.last }
    }

    /// As many of `links` as are asked for their state, others each time that a link was made.
    private func aPart(of links: [Link]) -> some Sequence<Link> {
        let start = links.isEmpty ? 0 : nextLook % links.count
        return (0..<min(links.count, Self.mostAsked)).lazy.map { links[(start + $0) % links.count] }
    }

    /// The link that has been quiet for longest, of those without a path and, where it counts, not spared as new.
    private func quietest(
        _ links: some Sequence<Link>, _ state: (Link) -> State, madeBefore now: Instant? = nil
    ) -> Link? {
        var best: (link: Link, quietSince: Instant)?
        for link in links {
            let state = state(link)
            guard state.paths == 0 else { continue }
            if let now, now - state.since < Self.grace { continue }
            if let other = best, other.quietSince <= state.quietSince { continue }
            best = (link, state.quietSince)
        }
        return best?.link
    }

    // MARK: Counting

    /// Counts a link, which got its place by `room`.
    public mutating func insert(_ link: Link, for source: LinkSource) {
        precondition(entries[link] == nil, "a link has one place")
        nextLook = (nextLook + Self.mostAsked) % capacity
        members[source, default: []].append(link)
        switch source {
        case .client(let address):
            entries[link] = Entry(source: source, number: clientLinks.count)
            clientLinks.append(link)
            clients.add(address, in: address.network)
        case .node:
            entries[link] = Entry(source: source, number: nodeLinks.count)
            nodeLinks.append(link)
        }
    }

    /// The link is gone.
    public mutating func remove(_ link: Link) {
        guard let entry = entries.removeValue(forKey: link) else { return }
        members[entry.source]?.removeAll { $0 == link }
        if members[entry.source]?.isEmpty == true { members[entry.source] = nil }
        // The last link of the kind gets the number of the one that is gone.
        let last: Link
        switch entry.source {
        case .client(let address):
            last = clientLinks.removeLast()
            if entry.number < clientLinks.count { clientLinks[entry.number] = last }
            clients.release(address, in: address.network)
        case .node:
            last = nodeLinks.removeLast()
            if entry.number < nodeLinks.count { nodeLinks[entry.number] = last }
        }
        entries[last]?.number = entry.number
    }

    /// A client's link has moved to another address; it stays, whatever that address has already.
    public mutating func move(_ link: Link, to address: AddressShare) {
        guard case .client = entries[link]?.source else { return }
        remove(link)
        insert(link, for: .client(address))
    }
}
