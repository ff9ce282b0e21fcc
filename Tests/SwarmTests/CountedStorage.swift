import Wire

@testable import Swarm

/// A storage that counts what is read of it.
struct CountedStorage: ItemStorage {
    /// The counts, which all copies of the storage share.
    final class Reads {
        /// The entries of boxes and ranges.
        var entries = 0
        /// The items and tombstones whose bytes were read.
        var bodies = 0
    }

    private var base: AnyStorage
    let reads: Reads

    init(_ base: AnyStorage, _ reads: Reads) {
        self.base = base
        self.reads = reads
    }

    private func counted(_ entries: [StoredEntry]) -> [StoredEntry] {
        reads.entries += entries.count
        return entries
    }

    func bytes(of id: ItemID) -> [UInt8]? {
        reads.bodies += 1
        return base.bytes(of: id)
    }
    func entries(of box: Bytes32, _ kinds: ItemKinds, above offset: UInt64, limit: Int) -> [StoredEntry] {
        counted(base.entries(of: box, kinds, above: offset, limit: limit))
    }
    func entries(in range: RangeKey) -> [StoredEntry] { counted(base.entries(in: range)) }

    // MARK: Passed on

    var bytesUsed: Int { base.bytesUsed }
    var logSalt: UInt64 {
        get { base.logSalt }
        set { base.logSalt = newValue }
    }
    var hashedBytes: Int { base.hashedBytes }

    func entry(_ id: ItemID) -> StoredEntry? { base.entry(id) }
    mutating func keep(_ entry: StoredEntry, bytes: [UInt8]) { base.keep(entry, bytes: bytes) }
    mutating func remove(_ id: ItemID) { base.remove(id) }
    func box(_ key: Bytes32) -> BoxRecord? { base.box(key) }
    mutating func setBox(_ key: Bytes32, _ record: BoxRecord) { base.setBox(key, record) }
    func usage(of box: Bytes32, _ kind: ItemKind) -> BoxUsage { base.usage(of: box, kind) }
    func version(of box: Bytes32, _ kind: ItemKind, _ name: Bytes16) -> StoredEntry? {
        base.version(of: box, kind, name)
    }
    func weakest(of box: Bytes32, isDeleted: Bool) -> StoredEntry? { base.weakest(of: box, isDeleted: isDeleted) }
    func ranges(of shard: UInt16, _ kind: ItemKind) -> [UInt32] { base.ranges(of: shard, kind) }
    mutating func digest(of range: RangeKey) -> Bytes32 { base.digest(of: range) }
    func count(in range: RangeKey) -> Int { base.count(in: range) }
    func changes(of shard: UInt16) -> UInt64 { base.changes(of: shard) }
    func totals() -> [UInt16: ShardTotals] { base.totals() }
    func expired(at minute: UInt32, limit: Int) -> [ItemID] { base.expired(at: minute, limit: limit) }
    func items(of shard: UInt16, limit: Int) -> [ItemID] { base.items(of: shard, limit: limit) }
    func sweeps() -> [Bytes32: BoxSweep] { base.sweeps() }
    mutating func setSweep(_ box: Bytes32, _ sweep: BoxSweep?) { base.setSweep(box, sweep) }
    func shards() -> [UInt16: ShardRecord] { base.shards() }
    mutating func setShard(_ shard: UInt16, _ record: ShardRecord?) { base.setShard(shard, record) }
    mutating func verify(limit: Int) { base.verify(limit: limit) }
    mutating func removeDamaged() -> [UInt16: Int] { base.removeDamaged() }
    mutating func commit() -> Bool { base.commit() }
}
