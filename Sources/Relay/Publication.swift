internal import Directory
internal import EventLoop
internal import Link
internal import Links
internal import Onion
internal import OnionCrypto
internal import Wire

/// This node's descriptor, which is signed again when it changes or grows old.
final class Publication {
    /// The addresses on which the node listens, IPv4 first.
    let listenAddresses: [Endpoint]
    /// The addresses that the node announces to others.
    let announced: [Endpoint]
    let identity: LinkIdentity
    private let links: Links
    private let network: NetworkFile
    private let isExit: Bool
    private let exitAllowed: [CIDR]
    private let country: String?
    /// The latest time at which a descriptor of this node was published, as far as it knows.
    private var published: UnixTime
    /// Whether others refuse the present descriptor: it is not newer than another of this node, or dated too far ahead.
    private var isRefused = false
    private var publishedExit: Descriptor.ExitSummary = []

    /// The descriptor of the node with `identity`.
    ///
    /// `links` has opened its sockets. `last` is when the node published the descriptor that it has kept from before;
    /// nil if it has none.
    ///
    /// Throws ``RelayError/noAddress`` if an announced address is a wildcard.
    init(
        links: Links, network: NetworkFile, identity: LinkIdentity, configuration: RelayConfiguration,
        after last: UnixTime?
    ) throws(RelayError) {
        published = last ?? UnixTime(seconds: 0)
        self.links = links
        self.network = network
        self.identity = identity
        isExit = configuration.isExit
        exitAllowed = configuration.exitAllowed
        country = configuration.country
        let addresses = links.localAddresses.map { Endpoint($0) }
        listenAddresses = addresses.filter { $0.address.v4 != nil } + addresses.filter { $0.address.v4 == nil }
        announced = configuration.announced.isEmpty ? listenAddresses : configuration.announced
        guard announced.allSatisfy({ $0.address != IPAddress(v4: 0) && $0.address != IPAddress(high: 0, low: 0) })
        else { throw RelayError.noAddress }
    }

    var node: NodeID { NodeID(identity.nodeID) }

    /// The addresses of this machine, to which an exit here must not connect.
    var own: Set<IPAddress> { Set((announced + listenAddresses).map(\.address)) }

    /// Whether a new descriptor is due.
    var isDue: Bool {
        // Until then others refuse this one, and take the node for gone.
        guard !isAhead, !isRefused else { return true }
        let age = links.time.seconds - min(links.time.seconds, published.seconds)
        // Routes may come and go, so a change leads to at most one descriptor a minute.
        return age >= DescriptorStore.publishInterval || age >= 60 && exitSummary != publishedExit
    }

    /// Whether the present descriptor was dated by a clock that was ahead and has been set back.
    private var isAhead: Bool { DescriptorStore.isAhead(published, at: links.time) }

    /// Makes and signs a new descriptor, with the public half of the onion key.
    func renew(onionKey: [UInt8]) -> SignedDescriptor {
        // Each descriptor has a later second than the one before, so that it counts as newer. Nobody took one that was
        // dated too far ahead.
        let date = isAhead ? links.time : UnixTime(seconds: max(links.time.seconds, published.seconds + 1))
        isRefused = DescriptorStore.isAhead(date, at: links.time)
        if !isRefused { published = date }
        publishedExit = exitSummary
        var descriptor = Descriptor(
            node: node, published: date,
            expires: UnixTime(seconds: date.seconds + DescriptorStore.lifetime),
            versions: 2...2, suites: .available, roles: isExit ? .exit : [],
            exit: publishedExit, bandwidth: 0,
            ipv4: announced.first { $0.address.v4 != nil },
            ipv6: announced.first { $0.address.v4 == nil }, onionKey: onionKey, software: "tunic")
        descriptor.country = country
        return descriptor.signed(with: identity.signingKey, network: network.id)
    }

    /// Makes a descriptor due that is later than `time`: others hold one of then that this node has not kept.
    ///
    /// The node may have been started twice in a second, from a folder that did not have it yet, or after its clock was
    /// set back.
    func follow(_ time: UnixTime) {
        published = max(published, time)
        isRefused = true
    }

    /// The protocols and address families of the exit; a family counts if this machine has a route, or if the exit
    /// allows a range of it.
    private var exitSummary: Descriptor.ExitSummary {
        guard isExit else { return [] }
        var summary: Descriptor.ExitSummary = [.tcp, .udp]
        let opened = exitAllowed.map { $0.address.v4 != nil }
        if opened.contains(true) || links.loop.hasRoute(to: .globalIPv4) { summary.insert(.ipv4) }
        if opened.contains(false) || links.loop.hasRoute(to: .globalIPv6) { summary.insert(.ipv6) }
        return summary
    }
}
