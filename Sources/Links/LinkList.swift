internal import Link
internal import Wire

/// The links in the table, the link in use for each node, the holders of places, and the half-open links.
struct LinkList {
    /// The links by place in the table.
    private var byPlace: [ControlLink?] = []
    /// The link in use for each node.
    private var used: [NodeID: LinkID] = [:]
    /// The sources that hold the places of the table.
    private var places: LinkPlaces<LinkID>
    private var halfOpen: HalfOpenLinks<LinkID, LinkSource>

    /// An empty list with the number of places in `configuration`.
    init(_ configuration: LinksConfiguration) {
        places = LinkPlaces(capacity: configuration.maximumLinks)
        halfOpen = HalfOpenLinks(limit: configuration.maximumHalfOpen, lifetime: configuration.halfOpenTime)
    }

    /// All links in the order of their places, including links that close.
    var all: some Sequence<ControlLink> { byPlace.lazy.compactMap(\.self) }

    /// How many places links have, or have had.
    var placeCount: Int { byPlace.count }

    /// The link at a place.
    func link(at place: Int) -> ControlLink? { byPlace[place] }

    /// The number of half-open links.
    var halfOpenCount: Int { halfOpen.count }

    /// The link with this id; nil if it is gone.
    func find(_ id: LinkID) -> ControlLink? {
        guard id.place < byPlace.count, let link = byPlace[id.place], link.id == id, !link.isGone else { return nil }
        return link
    }

    /// The link in use for `node`, if it is open.
    func used(for node: NodeID) -> ControlLink? {
        guard let id = used[node], let link = find(id), link.isOpen else { return nil }
        return link
    }

    /// The source that a link counts for; nil if the link is gone.
    func source(of link: LinkID) -> LinkSource? { places.source(of: link) }

    /// Whether a client at `address` has a link that is up.
    func isUp(at address: AddressShare) -> Bool { places.isUp(.client(address)) { state($0) } }

    // MARK: Changes

    /// Adds a link that counts for `source`.
    mutating func insert(_ link: ControlLink, for source: LinkSource) {
        places.insert(link.id, for: source)
        while byPlace.count <= link.id.place { byPlace.append(nil) }
        byPlace[link.id.place] = link
    }

    mutating func remove(_ link: ControlLink) {
        places.remove(link.id)
        halfOpen.remove(link.id)
        byPlace[link.id.place] = nil
        leave(link)
    }

    /// From now on `link` is in use for `node`.
    mutating func use(_ link: ControlLink, for node: NodeID) { used[node] = link.id }

    /// Stops using `link` for its node; another link to the node that is up takes over.
    mutating func leave(_ link: ControlLink) {
        guard let node = link.peer.node, used[node] == link.id else { return }
        used[node] = all.first { $0.isUp && $0.isOpen && $0.peer == link.peer && $0 !== link }?.id
    }

    /// Counts a client's link for its new `address`.
    mutating func move(_ link: LinkID, to address: AddressShare) { places.move(link, to: address) }

    // MARK: Places

    /// The place for a new link that a peer of `source` begins.
    func room(for source: LinkSource, now: Instant) -> LinkPlaces<LinkID>.Room {
        places.room(for: source, now: now) { state($0) }
    }

    /// The place for a new link that this end has begun.
    func roomForOwn() -> LinkPlaces<LinkID>.Room { places.roomForOwn { state($0) } }

    /// The link of `node` that exceeds the number of links of one node; nil if there is none.
    func surplus(of node: NodeID) -> LinkID? { places.surplus(of: .node(node.key)) { state($0) } }

    /// The facts by which a link gives way to another; a link that closes gives way first.
    private func state(_ id: LinkID) -> LinkPlaces<LinkID>.State {
        guard let link = find(id), link.isOpen else {
            let never = Instant(nanoseconds: 0)
            return LinkPlaces.State(paths: 0, quietSince: never, since: never, isUp: false, isClosing: true)
        }
        return LinkPlaces.State(
            paths: link.idle.paths, quietSince: link.idle.quietSince, since: link.since, isUp: link.isUp)
    }

    // MARK: Half-open links

    /// Adds a link whose initiator has not proved its keys; returns the link that must give way to it.
    mutating func wait(for link: ControlLink, of source: LinkSource, now: Instant) -> LinkID? {
        halfOpen.insert(link.id, of: source, now: now)
    }

    /// The initiator of a link has proved its keys.
    mutating func confirm(_ link: ControlLink) { halfOpen.remove(link.id) }

    /// Removes and returns the next link whose initiator has taken too long to prove its keys.
    mutating func nextExpired(now: Instant) -> LinkID? { halfOpen.popExpired(now: now) }
}
