internal import Wire

/// The places of a proxy's pending requests or handshakes, shared by link and then by session
/// (docs/architecture/state.md, "Shares").
///
/// In a full table the link with the most places gives way, and in it the session with the most. If all have equally
/// many, a source without a place takes that of the oldest entry that is no longer young: of its own link if that has
/// places, else of all links. An honest answer comes long before an entry stops being young.
struct RequestPlaces<Item> {
    typealias Origin = RequestProxy.Origin
    typealias Source = RequestProxy.Source

    /// The result of a request for places.
    enum Admission {
        case granted
        /// The oldest entry of this source must give way; then ask again.
        case makeRoom(Source)
        /// This entry must give way, if it is still there; then ask again.
        case replace(Item)
        case full
    }

    private let capacity: Int
    private let most: Int
    private var shares: GroupedShares<Origin, UInt64>
    /// The entries of each origin, and of all (nil), by the moment from which they are no longer young.
    private var ages: [Origin?: DeadlineQueue<Item>] = [:]

    /// A table of `capacity` places, of which one session gets at most `most`.
    init(_ capacity: Int, most: Int) {
        self.capacity = capacity
        self.most = most
        shares = GroupedShares(capacity: capacity)
    }

    /// The number of places in use.
    var count: Int { shares.count }

    /// The number of places that `source` holds.
    func places(of source: Source) -> Int { shares.places(of: source.session, in: source.origin) }

    /// Takes `places` places for `source`, or returns the entry that must give way first.
    mutating func take(_ places: Int, for source: Source, _ now: Instant) -> Admission {
        let (session, origin) = (source.session, source.origin)
        let own = shares.places(of: session, in: origin)
        guard own + places <= most else { return .full }
        if shares.count + places <= capacity {
            for _ in 0..<places { shares.add(session, in: origin) }
            return .granted
        }
        if let largest = shares.largest, shares.places(of: largest) > shares.places(of: origin) + places,
            let loser = shares.largest(in: largest)
        {
            return .makeRoom(Source(origin: largest, session: loser))
        }
        if let loser = shares.largest(in: origin), shares.places(of: loser, in: origin) > own + places {
            return .makeRoom(Source(origin: origin, session: loser))
        }
        guard own == 0, let item = ages[shares.places(of: origin) > 0 ? origin : nil]?.next(now) else { return .full }
        return .replace(item)
    }

    /// Notes an entry that has got its places; `isThere` tells whether an earlier entry still has them.
    mutating func entered(_ item: Item, of source: Source, _ now: Instant, isThere: (Item) -> Bool) {
        for key in [source.origin, nil] {
            while let oldest = ages[key]?.oldest, !isThere(oldest) { ages[key]?.removeFirst() }
            ages[key, default: DeadlineQueue(RequestLimits.youth)].append(item, now: now)
        }
    }

    /// Releases places that `take` granted.
    mutating func release(_ places: Int, of source: Source) {
        for _ in 0..<places { shares.release(source.session, in: source.origin) }
        if shares.places(of: source.origin) == 0 { ages[source.origin] = nil }
    }
}
