package import Wire

/// A storage whose type is known only at run time: on the disk where the process has a data folder, else in memory.
package struct AnyStorage: ItemStorage {
    /// The storage.
    package var base: any ItemStorage

    /// Passes all calls to `base`.
    package init(_ base: any ItemStorage) { self.base = base }

    package var bytesUsed: Int { base.bytesUsed }
    package var logSalt: UInt64 {
        get { base.logSalt }
        set { base.logSalt = newValue }
    }

    package func entry(_ id: ItemID) -> StoredEntry? { base.entry(id) }
    package func bytes(of id: ItemID) -> [UInt8]? { base.bytes(of: id) }
    package mutating func keep(_ entry: StoredEntry, bytes: [UInt8]) { base.keep(entry, bytes: bytes) }
    package mutating func remove(_ id: ItemID) { base.remove(id) }

    package func box(_ key: Bytes32) -> BoxRecord? { base.box(key) }
    package mutating func setBox(_ key: Bytes32, _ record: BoxRecord) { base.setBox(key, record) }
    package func usage(of box: Bytes32, _ kind: ItemKind) -> BoxUsage { base.usage(of: box, kind) }
    package func entries(of box: Bytes32, _ kinds: ItemKinds, above offset: UInt64, limit: Int) -> [StoredEntry] {
        base.entries(of: box, kinds, above: offset, limit: limit)
    }
    package func version(of box: Bytes32, _ kind: ItemKind, _ name: Bytes16) -> StoredEntry? {
        base.version(of: box, kind, name)
    }
    package func weakest(of box: Bytes32, isDeleted: Bool) -> StoredEntry? {
        base.weakest(of: box, isDeleted: isDeleted)
    }

    package func ranges(of shard: UInt16, _ kind: ItemKind) -> [UInt32] { base.ranges(of: shard, kind) }
    package func count(in range: RangeKey) -> Int { base.count(in: range) }
    package func entries(in range: RangeKey) -> [StoredEntry] { base.entries(in: range) }
    package mutating func digest(of range: RangeKey) -> Bytes32 { base.digest(of: range) }
    package var hashedBytes: Int { base.hashedBytes }
    package func changes(of shard: UInt16) -> UInt64 { base.changes(of: shard) }
    package func totals() -> [UInt16: ShardTotals] { base.totals() }

    package func expired(at minute: UInt32, limit: Int) -> [ItemID] { base.expired(at: minute, limit: limit) }
    package func items(of shard: UInt16, limit: Int) -> [ItemID] { base.items(of: shard, limit: limit) }

    package func sweeps() -> [Bytes32: BoxSweep] { base.sweeps() }
    package mutating func setSweep(_ box: Bytes32, _ sweep: BoxSweep?) { base.setSweep(box, sweep) }
    package func shards() -> [UInt16: ShardRecord] { base.shards() }
    package mutating func setShard(_ shard: UInt16, _ record: ShardRecord?) { base.setShard(shard, record) }

    package mutating func verify(limit: Int) { base.verify(limit: limit) }
    package mutating func removeDamaged() -> [UInt16: Int] { base.removeDamaged() }
    package mutating func commit() -> Bool { base.commit() }
}
