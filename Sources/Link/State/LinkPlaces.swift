public import Wire

/// The client or node that a link is counted for.
public enum LinkSource: Hashable, Sendable {
    /// A client, identified by its address.
    case client(AddressShare)
    /// A node, whichever end began the link.
    case node(Bytes32)

    /// Sources that may be one party, and have one share together.
    public enum Group: Hashable, Sendable {
        /// The addresses of a network.
        case network(NetworkShare)
        /// A node, alone.
        case node(Bytes32)
    }

    /// The group that the source belongs to.
    public var group: Group {
        switch self {
        case .client(let address): .network(address.network)
        case .node(let node): .node(node)
        }
    }
}

/// The shares of the table of links, and the choice of the link that a new one replaces (docs/architecture/state.md,
/// "Shares").
///
/// Clients' links take at most three quarters of the table, and so do nodes' links, whoever began them: each kind
/// always has a quarter. An address, and a network of addresses, may have as many links as places are free, so that
/// none fills the table. An address may always have 64, and a network an eighth of the clients' part. In a full table
/// the network with the most links loses one first.
///
/// The owner names the links and passes a closure for their state. In a large table only some links are examined at a
/// time, other ones each time (``mostAsked``).
public struct LinkPlaces<Link: Hashable & Sendable>: Sendable {
    /// The state of a link that decides whether it is replaced.
    public struct State: Sendable {
        /// How many paths use the link.
        public var paths: Int
        /// Since when it has had no path, and no control message has gone either way.
        public var quietSince: Instant
        /// When it was made.
        public var since: Instant
        /// Whether the link's initiator has proved that it holds the keys; false while the link closes.
        public var isUp: Bool
        /// Whether the link closes.
        public var isClosing: Bool

        /// The state of a link.
        public init(paths: Int, quietSince: Instant, since: Instant, isUp: Bool, isClosing: Bool = false) {
            self.paths = paths
            self.quietSince = quietSince
            self.since = since
            self.isUp = isUp && !isClosing
            self.isClosing = isClosing
        }
    }

    /// The place for a new link.
    public enum Room: Equatable, Sendable {
        /// A place is free.
        case free
        /// The place of this link, which must be removed before the insertion.
        case after(Link)
        /// No place: the new link must be refused.
        case none
    }

    /// The links that one address may always have.
    public static var mostOfAddress: Int { 64 }
    /// The links that are up, and those that are half-open, that one node may have.
    public static var mostOfNode: Int { 2 }
    /// How long a new link is protected when the source to lose one has no more than others.
    public static var grace: TimeSpan { .seconds(2) }
    /// How many links of a kind are examined when one of all must be replaced.
    static var mostAsked: Int { 256 }

    private struct Entry: Sendable {
        let source: LinkSource
        /// Its index among the links of its kind.
        var number: Int
    }

    /// The largest number of links.
    public let capacity: Int
    /// The links that one network of addresses may always have.
    public let mostOfNetwork: Int
    private let part: Int
    private var clients: GroupedShares<NetworkShare, AddressShare>
    /// The links of each source, oldest first.
    private var members: [LinkSource: [Link]] = [:]
    private var entries: [Link: Entry] = [:]
    /// All links of clients, and all of nodes, in no order.
    private var clientLinks: [Link] = []
    private var nodeLinks: [Link] = []
    /// Where the next examination of all links begins.
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

    /// The source that `link` is counted for.
    public func source(of link: Link) -> LinkSource? { entries[link]?.source }

    /// The links of `source`, oldest first.
    public func links(of source: LinkSource) -> [Link] { members[source] ?? [] }

    /// Whether one of the oldest links of `source` is up.
    public func isUp(_ source: LinkSource, state: (Link) -> State) -> Bool {
        members[source]?.prefix(Self.mostAsked).contains { state($0).isUp } ?? false
    }

    // MARK: Asking

    /// The place for a new link that `source` began.
    public func room(for source: LinkSource, now: Instant, state: (Link) -> State) -> Room {
        switch source {
        case .client(let address): roomForClient(address, now, state)
        case .node: roomForNode(source, now, state)
        }
    }

    /// The place for a link that this end begins: it replaces a client's, as long as nodes' links are within their
    /// part.
    ///
    /// Other parties choose which nodes a relay links to, so own links take no more than that part.
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
            return quietest(aPart(of: links(of: .client(address))), state, madeBefore: now).map { .after($0) } ?? .none
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
            if let link = quietest(aPart(of: links(of: .client(address))), state, madeBefore: now) {
                return .after(link)
            }
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
        let notUp = links(of: source).filter { !state($0).isUp }
        let halfOpen = notUp.filter { !state($0).isClosing }
        if halfOpen.count >= Self.mostOfNode { return .after(halfOpen[0]) }
        // Links that close share these places, and go first.
        if notUp.count >= Self.mostOfNode, let closing = notUp.first(where: { state($0).isClosing }) {
            return .after(closing)
        }
        let hasRoom = nodeLinks.count < part
        if count < capacity, hasRoom { return .free }
        if hasRoom, let link = clients.largest.flatMap({ pathlessOfLargest(in: $0, state) }) { return .after(link) }
        let link =
            quietest(aPart(of: nodeLinks), state, madeBefore: now)
            ?? (hasRoom ? quietest(aPart(of: clientLinks), state, madeBefore: now) : nil)
        return link.map { .after($0) } ?? .none
    }

    /// The link to close if `source`, a node, has too many links up: one without paths, or else the oldest.
    public func surplus(of source: LinkSource, state: (Link) -> State) -> Link? {
        let up = links(of: source).filter { state($0).isUp }
        guard case .node = source, up.count > Self.mostOfNode else { return nil }
        // The newest stays. Mostly it has just proved that the node is there; of two handshakes at once it may be the
        // other one.
        let others = up.dropLast()
        return quietest(others, state) ?? others.first
    }

    /// The pathless link that has been quiet longest, of the address with the most links in `network`.
    private func pathlessOfLargest(in network: NetworkShare, _ state: (Link) -> State) -> Link? {
        clients.largest(in: network).flatMap { quietest(aPart(of: links(of: .client($0))), state) }
    }

    private func newestOfLargest(in network: NetworkShare) -> Link? {
        clients.largest(in: network).flatMap { members[.client($0)]?.last }
    }

    /// The part of `links` to examine: all if they are few, else a part that changes with each new link.
    private func aPart(of links: [Link]) -> some Sequence<Link> {
        let start = links.count <= Self.mostAsked ? 0 : nextLook % links.count
        return (0..<min(links.count, Self.mostAsked)).lazy.map { links[(start + $0) % links.count] }
    }

    /// The link that has been quiet longest among those without a path; with `madeBefore`, links younger than ``grace``
    /// are left out.
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

    /// Adds a link at the place that `room` returned.
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

    /// Removes a link and frees its place; has no effect on an unknown link.
    public mutating func remove(_ link: Link) {
        guard let entry = entries.removeValue(forKey: link) else { return }
        members[entry.source]?.removeAll { $0 == link }
        if members[entry.source]?.isEmpty == true { members[entry.source] = nil }
        // The last link of the kind moves to the removed link's index.
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

    /// Moves a client's link to another address; the link stays even if that address has its limit already.
    public mutating func move(_ link: Link, to address: AddressShare) {
        guard case .client = entries[link]?.source else { return }
        remove(link)
        insert(link, for: .client(address))
    }
}
