internal import Wire

/// What a replica knows of another node with which it shares shards.
struct ReplicaPeer {
    /// The shards that both have, ascending.
    var shards: [UInt16] = []
    /// When the next comparison is due.
    var nextCompare: UInt64
    /// The shard at which the last comparison ended early: the next one begins behind it.
    var resume: UInt16?
    /// What it may bring in the life of a message, in bytes.
    private var share: ByteBudget
    /// What it may hand over, when it is asked, of shards that this node joins; in the life of a message.
    private var joinShare: ByteBudget
    /// What it may cause: bytes that it brings, that are read and hashed for it, and that are brought to it.
    var work: ByteBudget
    /// The bytes of ids that it may have.
    var idsServed: ByteBudget
    /// The bytes of ids that it is asked for.
    var idsAsked: ByteBudget
    /// Shards that were asked for ids, of which none came: until when they rest, and for how long, in milliseconds.
    var pauses: [UInt16: (until: UInt64, length: UInt64)] = [:]
    /// The comparison under way that this node drives.
    var exchange: Exchange?

    /// A peer that may bring `share` bytes in 14 days, and `joinShare` bytes of shards that are joined.
    init(share: UInt64, joinShare: UInt64, nextCompare: UInt64, now: UInt64) {
        self.nextCompare = nextCompare
        let life = UInt64(ItemKind.message.life) * 60_000
        self.share = ByteBudget(capacity: share, window: life, now: now)
        self.joinShare = ByteBudget(capacity: joinShare, window: life, now: now)
        work = ByteBudget(capacity: SwarmLimits.workBurst, window: SwarmLimits.workWindow, now: now)
        idsServed = ByteBudget(capacity: SwarmLimits.idBytes, window: 600_000, now: now)
        idsAsked = idsServed
    }

    /// Changes what it may bring.
    mutating func resize(share: UInt64, joinShare: UInt64) {
        self.share.resize(share)
        self.joinShare.resize(joinShare)
    }

    /// Counts a copy that it brought, or handed over for a shard that is joined; false: it is too much.
    mutating func brings(_ size: Int, toJoin: Bool, _ now: UInt64) -> Bool {
        toJoin && joinShare.take(size, now) || share.take(size, now)
    }

    /// Doubles the rest of a shard, or begins it.
    mutating func pause(_ shard: UInt16, _ now: UInt64) {
        let length = min((pauses[shard]?.length ?? 300_000) * 2, 6 * 3_600_000)
        pauses[shard] = (now + length, length)
    }
}
