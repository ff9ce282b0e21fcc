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

    /// The results of comparing one shard, which may take several comparisons.
    struct Tally {
        /// The cut of the first of them.
        let cut: UInt32
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

    /// Where the next comparison of a shard goes on.
    struct Place {
        /// The range, and the short id behind which its other ids are asked for.
        let range: RangeKey
        let after: UInt64
        /// Keys that short id.
        let key: Bytes16
        /// The results so far.
        var tally: Tally

        /// Whether a day comes before the place.
        func isBehind(_ kind: ItemKind, day: UInt16) -> Bool {
            kind == range.kind ? day < range.day : Self.order(kind) < Self.order(range.kind)
        }

        /// Whether a range comes before the place.
        func isBehind(_ other: RangeKey) -> Bool {
            other.kind == range.kind ? other.number < range.number : Self.order(other.kind) < Self.order(range.kind)
        }

        private static func order(_ kind: ItemKind) -> Int { ItemKind.compared.firstIndex(of: kind) ?? 0 }
    }

    /// Keys the short ids; another key with each shard that goes on from a place.
    var key: Bytes16
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
    var tally: Tally
    /// The ids of the current shard that were asked for last.
    var page: (range: RangeKey, after: UInt64)?

    /// The shard that is compared now; nil if none is.
    var shard: UInt16? {
        for step in steps.reversed() { if case .end(let shard) = step { return shard } }
        return nil
    }

    /// Where the current shard goes on if it is left now; nil: it begins anew.
    ///
    /// The last ids are asked for once more, since what they led to may be open.
    var place: Place? { page.map { Place(range: $0.range, after: $0.after, key: key, tally: tally) } }

    /// Leaves the current shard.
    mutating func skipShard() { while let step = steps.popLast() { if case .end = step { return } } }
}
