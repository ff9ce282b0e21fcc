internal import Wire

/// A comparison with a peer that this node drives: one question at a time.
struct Exchange {
    enum Step {
        /// Asks which of the shards differ.
        case shards([Compare.ShardDigest])
        /// Asks for a shard's days; whether the peer says that it may lack items.
        case days(UInt16, isOutOfDate: Bool)
        /// Asks for the ranges of a day.
        case ranges(UInt16, ItemKind, day: UInt16)
        /// Asks for the ids of a range, or the next of them.
        case ids(RangeKey, after: UInt64)
        /// Asks for copies.
        case fetch(RangeKey, [UInt64])
        /// Brings copies.
        case push([ItemID])
        /// Ends what is done about a shard.
        case end(UInt16)
    }

    /// What the walk through one shard has shown.
    struct Tally {
        /// Whether the peer says that it may lack items.
        var isOutOfDate = false
        /// How many ids were asked for.
        var asked = 0
        /// How many copies came.
        var came = 0
        /// Whether the peer lists an id that is neither held here nor refused by a rule.
        var lacks = false
        /// How many copies the peer did not list.
        var gave = 0
        /// How many of them it took.
        var taken = 0
    }

    /// Keys the short ids.
    let key: Bytes16
    /// Up to when both are compared.
    let cut: UInt32
    /// When it ends, in milliseconds.
    let deadline: UInt64
    /// The steps that are left; the next one is the last.
    var steps: [Step]
    /// The step whose answer is awaited.
    var current: Step?
    /// The number of the question whose answer is awaited.
    var question: UInt64?
    /// What the shard in hand has shown.
    var tally = Tally()

    /// The shard in hand.
    var shard: UInt16? {
        for step in steps.reversed() { if case .end(let shard) = step { return shard } }
        return nil
    }
}
