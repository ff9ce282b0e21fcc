internal import Directory
internal import Link
internal import Links
internal import Wire

/// The rates at which a node accepts builds: for each link, for all client links of an address, and for all links.
///
/// Each node, and each network of addresses, has a part of the rate of all links, and in a network each address.
struct BuildRates {
    private let limits: NetworkLimits
    private var all: SharedRate<LinkSource.Group, LinkSource>
    private var links: [LinkID: TokenBucket] = [:]
    private var addresses: SourceRates
    /// The rate of builds over a link to the next hop, with parts likewise.
    private var onward: [LinkID: SharedRate<LinkSource.Group, LinkSource>] = [:]

    /// Full rates by `limits`, for as many links as `configuration` allows.
    init(_ limits: NetworkLimits, _ configuration: LinksConfiguration, now: Instant) {
        self.limits = limits
        let factor = configuration.addressRateFactor
        addresses = SourceRates(
            rate: limits.clientBuildsPerSecond * factor, burst: limits.clientBuildBurst * factor,
            capacity: configuration.maximumLinks)
        all = SharedRate(perSecond: limits.buildsPerSecond, burst: limits.buildsPerSecond, now: now)
    }

    /// Takes a build that came over `link` from the rates; false if one of them is used up.
    mutating func admit(_ link: LinkID, of source: LinkSource, isNode: Bool, now: Instant) -> Bool {
        let rate =
            isNode
            ? TokenBucket(perSecond: limits.nodeBuildsPerSecond, burst: limits.nodeBuildBurst, now: now)
            : TokenBucket(perSecond: limits.clientBuildsPerSecond, burst: limits.clientBuildBurst, now: now)
        return links[link, default: rate].take(now: now) && (isNode || addresses.take(source, now: now))
            && all.take(source, in: source.group, now)
    }

    /// Takes a build that continues over `next` from that link's rate; false if the part of `source` is used up.
    mutating func admitOnward(over next: LinkID, of source: LinkSource, now: Instant) -> Bool {
        let rate = SharedRate<LinkSource.Group, LinkSource>(
            perSecond: limits.nodeBuildsPerSecond, burst: limits.nodeBuildBurst, now: now)
        return onward[next, default: rate].take(source, in: source.group, now)
    }

    /// Forgets a link that has ended.
    mutating func linkEnded(_ link: LinkID) {
        links[link] = nil
        onward[link] = nil
    }
}
