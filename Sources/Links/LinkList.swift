internal import Link
internal import Wire

/// The links that stand, which of them is used for each node, who holds their places, and which of them are half-open.
struct LinkList {
    /// By place in the table.
    private var byPlace: [ControlLink?] = []
    /// The link that is used for each node.
    private var used: [NodeID: LinkID] = [:]
    /// Who holds the places of the table.
    private var places: LinkPlaces<LinkID>
    private var halfOpen: HalfOpenLinks<LinkID, LinkSource>

    /// No link, as many places as `configuration` says.
    init(_ configuration: LinksConfiguration) {
        places = LinkPlaces(capacity: configuration.maximumLinks)
        halfOpen = HalfOpenLinks(limit: configuration.maximumHalfOpen, lifetime: configuration.halfOpenTime)
    }

    /// All links, closing ones among them, in the order of their places.
    var all: some Sequence<ControlLink> { byPlace.lazy.compactMap(\.self) }

    /// How many links are half-open.
    var halfOpenCount: Int { halfOpen.count }

    /// The link with this name, if it has not gone.
    func find(_ id: LinkID) -> ControlLink? {
        guard id.place < byPlace.count, let link = byPlace[id.place], link.id == id, !link.isGone else { return nil }
        return link
    }

    /// The link that is used for `node`, if it is open.
    func used(for node: NodeID) -> ControlLink? {
        guard let id = used[node], let link = find(id), link.isOpen else { return nil }
        return link
    }

    /// Whom a link counts for; nil when it is gone.
    func source(of link: LinkID) -> LinkSource? { places.source(of: link) }

    /// Whether a client at `address` has a link up.
    func isUp(at address: AddressShare) -> Bool { places.isUp(.client(address)) { state($0) } }

    // MARK: Changes

    /// Adds a link, which counts for `source`.
    mutating func insert(_ link: ControlLink, for source: LinkSource) {
        places.insert(link.id, for: source)
        while byPlace.count <= link.id.place { byPlace.append(nil) }
        byPlace[link.id.place] = link
    }

    /// Takes a link out.
    mutating func remove(_ link: ControlLink) {
        places.remove(link.id)
        halfOpen.remove(link.id)
        byPlace[link.id.place] = nil
        leave(link)
    }

    /// Uses a link for its node from now on.
    mutating func use(_ link: ControlLink, for node: NodeID) { used[node] = link.id }

    /// No longer uses a link for its node, but another one to it that stands by.
    mutating func leave(_ link: ControlLink) {
        guard let node = link.peer.node, used[node] == link.id else { return }
        used[node] = all.first { $0.isUp && $0.isOpen && $0.peer == link.peer && $0 !== link }?.id
    }

    /// A client's link has moved to `address`.
    mutating func move(_ link: LinkID, to address: AddressShare) { places.move(link, to: address) }

    // MARK: Places

    /// Where a link that a peer of `source` begins may go.
    func room(for source: LinkSource, now: Instant) -> LinkPlaces<LinkID>.Room {
        places.room(for: source, now: now) { state($0) }
    }

    /// Where a link that this end has begun may go.
    func roomForOwn() -> LinkPlaces<LinkID>.Room { places.roomForOwn { state($0) } }

    /// The link of a node that is one too many.
    func surplus(of node: NodeID) -> LinkID? { places.surplus(of: .node(node.key)) { state($0) } }

    /// What decides whether a link gives way; one that closes is the first.
    private func state(_ id: LinkID) -> LinkPlaces<LinkID>.State {
        guard let link = find(id), link.isOpen else {
            let never = Instant(nanoseconds: 0)
            return LinkPlaces.State(paths: 0, quietSince: never, since: never, isUp: false)
        }
        return LinkPlaces.State(
            paths: link.idle.paths, quietSince: link.idle.quietSince, since: link.since, isUp: link.isUp)
    }

    // MARK: Half-open links

    /// Notes that a link waits for its initiator's keys; returns the one that gives way to it.
    mutating func wait(for link: ControlLink, of source: LinkSource, now: Instant) -> LinkID? {
        halfOpen.insert(link.id, of: source, now: now)
    }

    /// The initiator of a link has shown its keys.
    mutating func confirm(_ link: ControlLink) { halfOpen.remove(link.id) }

    /// Takes the next link whose initiator has waited too long.
    mutating func nextExpired(now: Instant) -> LinkID? { halfOpen.popExpired(now: now) }
}
