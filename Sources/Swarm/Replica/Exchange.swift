internal import Wire

/// A comparison with a peer that this node drives: one question at a time.
struct Exchange {
    enum Step {
        /// Asks which of the shards differ.
        case shards([Compare.ShardDigest])
        /// Asks for a shard's days; `isOutOfDate`: the peer reports that it may lack items.
        case days(UInt16, isOutOfDate: Bool)
        /// Asks for the ranges of a day.
        case ranges(UInt16, ItemKind, day: UInt16)
        /// Asks for the first ids of a range, or the next ones.
        case ids(RangeKey, after: UInt64)
        /// Requests copies.
        case fetch(RangeKey, [UInt64])
        /// Sends copies.
        case push([ItemID])
        /// Ends the work on a shard.
        case end(UInt16)
    }

    /// The results of comparing one shard.
    struct Tally {
        /// Whether the peer reports that it may lack items.
        var isOutOfDate = false
        /// How many ids were requested.
        var asked = 0
        /// How many copies arrived.
        var came = 0
        /// Whether the peer lists an id that is neither held here nor refused by a rule.
        var lacks = false
        /// How many copies that the peer did not list were sent to it.
        var gave = 0
        /// How many of those the peer accepted.
        var taken = 0
    }

    /// Keys the short ids.
    let key: Bytes16
    /// The time up to which both are compared, in minutes.
    let cut: UInt32
    /// When the comparison ends, in milliseconds.
    let deadline: UInt64
    /// The remaining steps; the next one is at the end.
    var steps: [Step]
    /// The step whose answer is awaited.
    var current: Step?
    /// The number of the question whose answer is awaited.
    var question: UInt64?
    /// The results for the current shard.
    var tally = Tally()

    /// The current shard.
    var shard: UInt16? {
        for step in steps.reversed() { if case .end(let shard) = step { return shard } }
        return nil
    }
}
