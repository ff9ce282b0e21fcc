internal import Wire

/// The places of a proxy's pending requests or handshakes, by link and in it by session (docs/architecture/state.md, "Shares").
///
/// In a full table the link with most gives way, and in it the session with most. Where all have the same, a source
/// without a place gets that of the oldest entry that is no longer young, of its own link if that has any: an honest
/// answer needs far less time.
struct RequestPlaces<Item> {
    typealias Origin = RequestProxy.Origin
    typealias Source = RequestProxy.Source

    /// Which entry gives way.
    enum Admission {
        case granted
        /// The oldest one of this source; then ask again.
        case makeRoom(Source)
        /// This one, if it is still there; then ask again.
        case replace(Item)
        case full
    }

    private let capacity: Int
    private let most: Int
    private var shares: GroupedShares<Origin, UInt64>
    /// The entries of each link, and of all (nil), from when they are no longer young.
    private var ages: [Origin?: DeadlineQueue<Item>] = [:]

    /// So many places, of which one session has at most `most`.
    init(_ capacity: Int, most: Int) {
        self.capacity = capacity
        self.most = most
        shares = GroupedShares(capacity: capacity)
    }

    /// How many are taken.
    var count: Int { shares.count }

    /// How many `source` holds.
    func places(of source: Source) -> Int { shares.places(of: source.session, in: source.origin) }

    /// Takes so many places for `source`, or says who has to give way first.
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

    /// An entry has its place; `isThere` says whether another one still has.
    mutating func entered(_ item: Item, of source: Source, _ now: Instant, isThere: (Item) -> Bool) {
        for key in [source.origin, nil] {
            while let oldest = ages[key]?.oldest, !isThere(oldest) { ages[key]?.removeFirst() }
            ages[key, default: DeadlineQueue(RequestLimits.youth)].append(item, now: now)
        }
    }

    /// Gives back what `take` took.
    mutating func release(_ places: Int, of source: Source) {
        for _ in 0..<places { shares.release(source.session, in: source.origin) }
        if shares.places(of: source.origin) == 0 { ages[source.origin] = nil }
    }
}
