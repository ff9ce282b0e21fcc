public import Wire

/// Whom a link counts for.
public enum LinkSource: Hashable, Sendable {
    /// A client, which has nothing but an address.
    case client(AddressShare)
    /// A node, whichever end began the link.
    case node(Bytes32)
}

/// Who holds the places of the table of links, and which link gives way to another (docs/architecture.md, "Shares").
///
/// Clients' links have three quarters of the table at the most, and so have links that nodes began: a quarter is left to
/// either. The links are named by the owner, which tells of their state when it is asked for.
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

    /// The links that one address may have once half of the clients' part is taken.
    public static var mostOfAddress: Int { 64 }
    /// The links that are up, and those that are half-open, that one node may have.
    public static var mostOfNode: Int { 2 }
    /// How long a new link is spared where a source gives way that has no more than others.
    public static var grace: TimeSpan { .seconds(2) }

    /// How many links there may be.
    public let capacity: Int
    private let part: Int
    private var clients: Shares<AddressShare>
    /// The links of each source, oldest first.
    private var members: [LinkSource: [Link]] = [:]
    private var sources: [Link: LinkSource] = [:]

    /// A table of `capacity` links.
    public init(capacity: Int) {
        self.capacity = capacity
        part = max(1, capacity - capacity / 4)
        clients = Shares(capacity: part, most: Self.mostOfAddress, freely: part / 2)
    }

    /// How many links there are.
    public var count: Int { sources.count }
    /// How many of them are clients'.
    public var clientCount: Int { clients.count }

    /// Whom `link` counts for.
    public func source(of link: Link) -> LinkSource? { sources[link] }

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

    /// Where a link that this end begins may go: there is a place as long as a client's link, or one without a path, is there.
    public func roomForOwn(state: (Link) -> State) -> Room {
        guard count >= capacity else { return .free }
        if let link = pathlessOfLargest(above: 0, state) { return .after(link) }
        if let link = quietest(sources.keys, state) { return .after(link) }
        return newestOfLargest(above: 0)
    }

    private func roomForClient(_ address: AddressShare, _ now: Instant, _ state: (Link) -> State) -> Room {
        let admission = clients.admission(for: address)
        if admission == .shareUsed {
            return quietest(members[.client(address)] ?? [], state, madeBefore: now).map { .after($0) } ?? .none
        }
        if admission == .granted, count < capacity { return .free }
        let own = clients.places(of: address)
        if let link = pathlessOfLargest(above: own + 1, state) { return .after(link) }
        let isTableFull = count >= capacity
        let candidates = sources.lazy.filter { (_, source) in
            if case .client = source { true } else { isTableFull && sources.count - clients.count > capacity / 4 }
        }
        if let link = quietest(candidates.map(\.key), state, madeBefore: now) { return .after(link) }
        return newestOfLargest(above: own + 1)
    }

    private func roomForNode(_ source: LinkSource, _ now: Instant, _ state: (Link) -> State) -> Room {
        let halfOpen = links(of: source).filter { !state($0).isUp }
        if halfOpen.count >= Self.mostOfNode { return .after(halfOpen[0]) }
        let nodes = count - clients.count
        if count < capacity, nodes < part { return .free }
        if nodes < part, let link = pathlessOfLargest(above: 0, state) { return .after(link) }
        let candidates = sources.lazy.filter { (_, source) in
            if case .node = source { true } else { nodes < part }
        }
        return quietest(candidates.map(\.key), state, madeBefore: now).map { .after($0) } ?? .none
    }

    /// The link to close when `source`, a node, has more links up than it may: one without paths, or else the oldest.
    public func surplus(of source: LinkSource, state: (Link) -> State) -> Link? {
        let up = links(of: source).filter { state($0).isUp }
        guard case .node = source, up.count > Self.mostOfNode else { return nil }
        // The newest is the one that has just shown that the node is there.
        let others = up.dropLast()
        return quietest(others, state) ?? others.first
    }

    /// Of the client source with the most links, if it has more than `count`, the link that has been without a path for longest.
    private func pathlessOfLargest(above count: Int, _ state: (Link) -> State) -> Link? {
        guard let largest = clients.largest, clients.places(of: largest) > count else { return nil }
        return quietest(members[.client(largest)] ?? [], state)
    }

    private func newestOfLargest(above count: Int) -> Room {
        guard let largest = clients.largest, clients.places(of: largest) > count,
            let link = members[.client(largest)]?.last
        else { return .none }
        return .after(link)
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
        precondition(sources[link] == nil, "a link has one place")
        sources[link] = source
        members[source, default: []].append(link)
        if case .client(let address) = source { clients.add(address) }
    }

    /// The link is gone.
    public mutating func remove(_ link: Link) {
        guard let source = sources.removeValue(forKey: link) else { return }
        members[source]?.removeAll { $0 == link }
        if members[source]?.isEmpty == true { members[source] = nil }
        if case .client(let address) = source { clients.release(address) }
    }

    /// A client's link has moved to another address; it stays, whatever that address has already.
    public mutating func move(_ link: Link, to address: AddressShare) {
        guard case .client = sources[link] else { return }
        remove(link)
        insert(link, for: .client(address))
    }
}
