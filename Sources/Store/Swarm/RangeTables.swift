internal import Swarm
internal import Wire

/// The ranges that have entries, and their digests, of the shards and kinds that were asked for.
///
/// At most ``limit`` ranges are kept in memory; with more, all shards and kinds are forgotten and read again.
struct RangeTables {
    private struct ShardKind: Hashable {
        let shard: UInt16
        let kind: ItemKind
    }

    private struct Table {
        var counts: [UInt32: Int]
        var sorted: [UInt32]?
        var digests: [UInt32: Bytes32] = [:]
    }

    static let limit = 262_144

    private var tables: [ShardKind: Table] = [:]
    private var size = 0

    /// The numbers of the ranges that have entries, ascending; nil if they must be read first (``set``).
    mutating func numbers(of shard: UInt16, _ kind: ItemKind) -> [UInt32]? {
        let key = ShardKind(shard: shard, kind: kind)
        guard let table = tables[key] else { return nil }
        if let sorted = table.sorted { return sorted }
        let sorted = table.counts.keys.sorted()
        tables[key]?.sorted = sorted
        return sorted
    }

    /// Sets how many entries each range has.
    mutating func set(_ shard: UInt16, _ kind: ItemKind, _ counts: [UInt32: Int]) {
        if size + counts.count > Self.limit { self = RangeTables() }
        size += counts.count
        tables[ShardKind(shard: shard, kind: kind)] = Table(counts: counts)
    }

    /// Notes an entry more (1) or less (-1).
    mutating func note(_ range: RangeKey, _ change: Int) {
        let key = ShardKind(shard: range.shard, kind: range.kind)
        guard var table = tables.removeValue(forKey: key) else { return }
        let old = table.counts[range.number] ?? 0
        let count = max(0, old + change)
        table.digests[range.number] = nil
        table.counts[range.number] = count == 0 ? nil : count
        if (old == 0) != (count == 0) {
            table.sorted = nil
            size += count == 0 ? -1 : 1
        }
        tables[key] = table
    }

    /// How many entries a range has, of a shard and kind that were read.
    func count(in range: RangeKey) -> Int {
        tables[ShardKind(shard: range.shard, kind: range.kind)]?.counts[range.number] ?? 0
    }

    /// The digest of a range; nil if it must be computed.
    func digest(of range: RangeKey) -> Bytes32? {
        tables[ShardKind(shard: range.shard, kind: range.kind)]?.digests[range.number]
    }

    /// Keeps the digest of a range.
    mutating func set(_ digest: Bytes32, of range: RangeKey) {
        let key = ShardKind(shard: range.shard, kind: range.kind)
        // Zeros, the digest of an empty range, are not worth a place.
        if tables[key]?.counts[range.number] != nil { tables[key]?.digests[range.number] = digest }
    }

    mutating func forget(_ shard: UInt16) {
        for kind in ItemKind.allCases {
            let table = tables.removeValue(forKey: ShardKind(shard: shard, kind: kind))
            size -= table?.counts.count ?? 0
        }
    }
}
