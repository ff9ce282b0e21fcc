internal import Wire

/// The digests of a replica's shards at a cut, each cached until the shard changes.
struct ShardDigests: Sendable {
    private struct Known {
        let changes: UInt64
        let cut: UInt32
        let days: [CompareAnswer.DayDigest]
        let digest: Bytes32
    }

    private var known: [UInt16: Known] = [:]
    /// How many bytes have been hashed for days and shards.
    private(set) var hashed = 0
    /// The digest of a shard with nothing to compare.
    private static let empty = RangeDigests.shard([])

    /// The newest cut at `minute`.
    static func cut(_ minute: UInt32) -> UInt32 { minute - minute % SwarmLimits.rangeMinutes }

    /// Whether a range is compared at `cut`: it ended some time ago, and its items will live for some time.
    static func covers(_ kind: ItemKind, _ number: UInt32, cut: UInt32) -> Bool {
        let created = UInt64(number) * UInt64(SwarmLimits.rangeMinutes)
        return created + UInt64(SwarmLimits.rangeMinutes + SwarmLimits.settleMinutes) <= UInt64(cut)
            && created + UInt64(kind.life) >= UInt64(cut) + UInt64(SwarmLimits.compareLife)
    }

    /// Whether a copy of an item made at `created` may come from a comparison.
    static func mayBeCompared(_ created: UInt32, minute: UInt32) -> Bool {
        UInt64(created) + UInt64(SwarmLimits.rangeMinutes + SwarmLimits.settleMinutes) <= UInt64(minute)
    }

    /// The digest of a shard; with nothing to compare, the digest of no days.
    mutating func digest(of shard: UInt16, cut: UInt32, _ storage: inout some ItemStorage) -> Bytes32 {
        refresh(shard, cut: cut, &storage).digest
    }

    /// The days of a shard that have entries.
    mutating func days(
        of shard: UInt16, cut: UInt32, _ storage: inout some ItemStorage
    ) -> [CompareAnswer.DayDigest] {
        refresh(shard, cut: cut, &storage).days
    }

    /// The digests of a day's ranges.
    static func ranges(
        of shard: UInt16, _ kind: ItemKind, day: UInt16, cut: UInt32, _ storage: inout some ItemStorage
    ) -> [Bytes32] {
        let first = UInt32(day) * SwarmLimits.rangesPerDay
        var digests = [Bytes32](repeating: Bytes32(), count: 144)
        for number in storage.ranges(of: shard, kind)
        where number >= first && number < first + SwarmLimits.rangesPerDay && covers(kind, number, cut: cut) {
            digests[Int(number - first)] = storage.digest(of: RangeKey(shard: shard, kind: kind, number: number))
        }
        return digests
    }

    /// Drops the cached digests of a shard.
    mutating func forget(_ shard: UInt16) { known[shard] = nil }

    private mutating func refresh(_ shard: UInt16, cut: UInt32, _ storage: inout some ItemStorage) -> Known {
        let changes = storage.changes(of: shard)
        if let known = known[shard], known.changes == changes, known.cut == cut { return known }
        var days: [CompareAnswer.DayDigest] = []
        for kind in ItemKind.allCases where kind.isKept {
            let numbers = storage.ranges(of: shard, kind).filter { Self.covers(kind, $0, cut: cut) }
            var last: UInt16?
            for number in numbers {
                let day = RangeKey(shard: shard, kind: kind, number: number).day
                guard day != last else { continue }
                last = day
                let ranges = Self.ranges(of: shard, kind, day: day, cut: cut, &storage)
                days.append(CompareAnswer.DayDigest(kind: kind, day: day, digest: RangeDigests.day(ranges)))
            }
        }
        let digest = days.isEmpty ? Self.empty : RangeDigests.shard(days)
        hashed += days.count * (Int(SwarmLimits.rangesPerDay) + 1) * 32
        let fresh = Known(changes: changes, cut: cut, days: days, digest: digest)
        known[shard] = fresh
        return fresh
    }
}
