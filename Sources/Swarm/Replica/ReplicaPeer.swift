internal import Wire

/// The state that a replica keeps of another node with which it shares shards.
struct ReplicaPeer {
    /// The shards that both hold, ascending.
    var shards: [UInt16] = []
    /// When the next comparison is due.
    var nextCompare: UInt64
    /// The first shard of the last comparison that it did not finish; the next one begins after it.
    var resume: UInt16?
    /// The shards that were not finished, and where each goes on.
    var places: [UInt16: Exchange.Place] = [:]
    /// How many bytes it may bring as a coordinator in the life of a message.
    private var share: ByteBudget
    /// How many bytes it may bring in that time by comparisons.
    ///
    /// It is apart, since a peer hands on what others have brought to it, and cannot choose.
    private var compareShare: ByteBudget
    /// How many bytes of shards that this node joins it may hand over on request, in the life of a message.
    private var joinShare: ByteBudget
    /// How much work it may cause, in bytes: bytes that it sends, that are read or hashed for it, and that are sent to
    /// it.
    var work: ByteBudget
    /// How many bytes of ids it may get.
    var idsServed: ByteBudget
    /// How many bytes of ids are requested from it.
    var idsAsked: ByteBudget
    /// Shards of which ids were requested and no items came: the end and the length of their pause, in milliseconds.
    var pauses: [UInt16: (until: UInt64, length: UInt64)] = [:]
    /// The comparison with it that this node drives.
    var exchange: Exchange?

    /// A peer that may bring `share` bytes in 14 days as a coordinator, as much by comparisons, and `joinShare` bytes of
    /// shards that are joined.
    init(share: UInt64, joinShare: UInt64, nextCompare: UInt64, now: UInt64) {
        self.nextCompare = nextCompare
        let life = UInt64(ItemKind.message.life) * 60_000
        self.share = ByteBudget(capacity: share, window: life, now: now)
        compareShare = self.share
        self.joinShare = ByteBudget(capacity: joinShare, window: life, now: now)
        work = ByteBudget(capacity: SwarmLimits.workBurst, window: SwarmLimits.workWindow, now: now)
        idsServed = ByteBudget(capacity: SwarmLimits.idBytes, window: 600_000, now: now)
        idsAsked = idsServed
    }

    /// Changes the shares, in bytes.
    mutating func resize(share: UInt64, joinShare: UInt64) {
        self.share.resize(share)
        compareShare.resize(share)
        self.joinShare.resize(joinShare)
    }

    /// How a peer brings a copy.
    enum Way {
        /// For a client of it.
        case coordinates
        /// By a comparison.
        case compares
        /// By a comparison of a shard that is joined.
        case joins
    }

    /// Counts a copy that it brought; false if that is too much.
    mutating func brings(_ size: Int, _ way: Way, _ now: UInt64) -> Bool {
        switch way {
        case .coordinates: share.take(size, now)
        case .compares: compareShare.take(size, now)
        case .joins: joinShare.take(size, now) || compareShare.take(size, now)
        }
    }

    /// Pauses a shard; each further pause is twice as long, at most six hours.
    mutating func pause(_ shard: UInt16, _ now: UInt64) {
        let length = min((pauses[shard]?.length ?? 300_000) * 2, 6 * 3_600_000)
        pauses[shard] = (now + length, length)
    }
}
