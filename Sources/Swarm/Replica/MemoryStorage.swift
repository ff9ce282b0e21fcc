public import Wire

/// A storage in memory; a copy of it is a backup.
public struct MemoryStorage: ItemStorage, Sendable {
    private struct ShardKind: Hashable {
        let shard: UInt16
        let kind: ItemKind
    }

    private struct BoxName: Hashable {
        let kind: ItemKind
        let name: Bytes16
    }

    private struct BoxTable {
        var record: BoxRecord
        /// By ascending offset.
        var log: [(offset: UInt64, id: ItemID)] = []
        var usage: [ItemKind: BoxUsage] = [:]
        var names: [BoxName: ItemID] = [:]
    }

    private struct Tables {
        var bytesUsed = 0
        var logSalt: UInt64
        var entries: [ItemID: StoredEntry] = [:]
        var bytes: [ItemID: [UInt8]] = [:]
        var boxes: [Bytes32: BoxTable] = [:]
        var ranges: [RangeKey: Set<ItemID>] = [:]
        var numbers: [ShardKind: Set<UInt32>] = [:]
        var digests: [RangeKey: Bytes32] = [:]
        var changes: [UInt16: UInt64] = [:]
        var expiry: [UInt32: Set<ItemID>] = [:]
        var shards: [UInt16: ShardRecord] = [:]
        var sweeps: [Bytes32: BoxSweep] = [:]
        var damaged: Set<ItemID> = []
        var found: Set<ItemID> = []
    }

    private var tables: Tables
    /// How many bytes were hashed so far for digests of ranges that were not cached.
    public private(set) var hashedBytes = 0
    /// The state to restore; set only while commits fail.
    private var kept: Tables?

    /// An empty storage.
    public init(logSalt: UInt64) { tables = Tables(logSalt: logSalt) }

    /// Makes commits fail from now on, as on a full disk, or succeed again.
    public mutating func setFailing(_ isFailing: Bool) { kept = isFailing ? tables : nil }

    /// How many entries there are.
    public var count: Int { tables.entries.count }
    /// All entries, in no order.
    public var allEntries: [StoredEntry] { Array(tables.entries.values) }

    /// How much all entries count in the node's quota, in bytes.
    public var bytesUsed: Int { tables.bytesUsed }
    /// Mixed into the log ids that readers see.
    public var logSalt: UInt64 {
        get { tables.logSalt }
        set { tables.logSalt = newValue }
    }

    /// The entry of an id.
    public func entry(_ id: ItemID) -> StoredEntry? { tables.entries[id] }
    /// The bytes of an item or of a tombstone.
    public func bytes(of id: ItemID) -> [UInt8]? { tables.damaged.contains(id) ? nil : tables.bytes[id] }

    /// Keeps an entry; it replaces one with the same id.
    public mutating func keep(_ entry: StoredEntry, bytes: [UInt8]) {
        guard var table = tables.boxes[entry.box] else {
            return assertionFailure("a box has a record before its first entry")
        }
        tables.boxes[entry.box] = nil
        if let old = tables.entries[entry.id] { forget(old, in: &table) }
        tables.bytesUsed += entry.room
        tables.entries[entry.id] = entry
        tables.bytes[entry.id] = bytes
        table.log.append((entry.offset, entry.id))
        table.usage[entry.kind, default: BoxUsage()].add(entry, 1)
        if let name = entry.name { table.names[BoxName(kind: entry.kind, name: name)] = entry.id }
        tables.boxes[entry.box] = table
        tables.ranges[entry.range, default: []].insert(entry.id)
        tables.numbers[ShardKind(shard: entry.range.shard, kind: entry.kind), default: []].insert(entry.range.number)
        tables.expiry[entry.expires, default: []].insert(entry.id)
        touch(entry.range)
    }

    private mutating func touch(_ range: RangeKey) {
        tables.digests[range] = nil
        tables.changes[range.shard, default: 0] += 1
    }

    private mutating func forget(_ entry: StoredEntry, in table: inout BoxTable) {
        tables.bytesUsed -= entry.room
        tables.entries[entry.id] = nil
        tables.bytes[entry.id] = nil
        table.log.remove(at: Self.place(of: entry.offset, in: table.log))
        table.usage[entry.kind]?.add(entry, -1)
        if let name = entry.name.map({ BoxName(kind: entry.kind, name: $0) }), table.names[name] == entry.id {
            table.names[name] = nil
        }
        let key = ShardKind(shard: entry.range.shard, kind: entry.kind)
        tables.ranges[entry.range]?.remove(entry.id)
        if tables.ranges[entry.range]?.isEmpty ?? false {
            tables.ranges[entry.range] = nil
            tables.numbers[key]?.remove(entry.range.number)
        }
        tables.expiry[entry.expires]?.remove(entry.id)
        if tables.expiry[entry.expires]?.isEmpty ?? false { tables.expiry[entry.expires] = nil }
        touch(entry.range)
    }

    /// The index of the first entry whose offset is at least `offset`.
    private static func place(of offset: UInt64, in log: [(offset: UInt64, id: ItemID)]) -> Int {
        var (low, high) = (0, log.count)
        while low < high {
            let middle = (low + high) / 2
            if log[middle].offset < offset { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Removes an entry, and the record of its box with the box's last entry.
    public mutating func remove(_ id: ItemID) {
        guard let entry = tables.entries[id], var table = tables.boxes[entry.box] else { return }
        tables.boxes[entry.box] = nil
        forget(entry, in: &table)
        if !table.log.isEmpty { tables.boxes[entry.box] = table }
    }

    /// The data of a box.
    public func box(_ key: Bytes32) -> BoxRecord? { tables.boxes[key]?.record }

    /// Sets the data of a box, before its first entry is kept.
    public mutating func setBox(_ key: Bytes32, _ record: BoxRecord) {
        tables.boxes[key, default: BoxTable(record: record)].record = record
    }

    /// The use of a box by a kind.
    public func usage(of box: Bytes32, _ kind: ItemKind) -> BoxUsage { tables.boxes[box]?.usage[kind] ?? BoxUsage() }

    /// At most `limit` entries of a box above an offset, by ascending offset.
    public func entries(of box: Bytes32, _ kinds: ItemKinds, above offset: UInt64, limit: Int) -> [StoredEntry] {
        guard offset < .max, let log = tables.boxes[box]?.log else { return [] }
        var found: [StoredEntry] = []
        for item in log[Self.place(of: offset + 1, in: log)...] {
            guard found.count < limit else { break }
            if let entry = tables.entries[item.id], kinds.contains(entry.kind) { found.append(entry) }
        }
        return found
    }

    /// The version of a name.
    public func version(of box: Bytes32, _ kind: ItemKind, _ name: Bytes16) -> StoredEntry? {
        tables.boxes[box]?.names[BoxName(kind: kind, name: name)].flatMap { tables.entries[$0] }
    }

    /// The entry of kind 5 that is dropped first: among items, or among tombstones by a token.
    public func weakest(of box: Bytes32, isDeleted: Bool) -> StoredEntry? {
        entries(of: box, ItemKinds(.contact), above: 0, limit: .max).filter { $0.isDeleted == isDeleted && !$0.isFinal }
            .min { $0.isWeaker(than: $1) }
    }

    /// The numbers of the ranges of a shard and kind that have entries, ascending.
    public func ranges(of shard: UInt16, _ kind: ItemKind) -> [UInt32] {
        (tables.numbers[ShardKind(shard: shard, kind: kind)] ?? []).sorted()
    }

    /// How many entries a range has.
    public func count(in range: RangeKey) -> Int { tables.ranges[range]?.count ?? 0 }

    /// The entries of a range by ascending id.
    public func entries(in range: RangeKey) -> [StoredEntry] {
        (tables.ranges[range] ?? []).sorted().compactMap { tables.entries[$0] }
    }

    /// The digest of a range, cached until an entry of it changes.
    public mutating func digest(of range: RangeKey) -> Bytes32 {
        if let known = tables.digests[range] { return known }
        let ids = entries(in: range).map { ($0.id, $0.isDeleted) }
        hashedBytes += ids.count * RangeDigests.entrySize
        let digest = RangeDigests.range(ids)
        tables.digests[range] = digest
        return digest
    }

    /// A number that changes with each change of a shard's entries.
    public func changes(of shard: UInt16) -> UInt64 { tables.changes[shard] ?? 0 }

    /// The shards that have entries, each with what they have.
    public func totals() -> [UInt16: ShardTotals] {
        tables.entries.values.reduce(into: [:]) { totals, entry in
            totals[entry.range.shard, default: ShardTotals()].entries += 1
            totals[entry.range.shard, default: ShardTotals()].bytes += entry.room
        }
    }

    /// At most `limit` entries that have expired.
    public func expired(at minute: UInt32, limit: Int) -> [ItemID] {
        var found: [ItemID] = []
        for time in tables.expiry.keys.sorted() {
            guard time <= minute, found.count < limit else { break }
            found += (tables.expiry[time] ?? []).prefix(limit - found.count)
        }
        return found
    }

    /// At most `limit` entries of a shard.
    public func items(of shard: UInt16, limit: Int) -> [ItemID] {
        var found: [ItemID] = []
        for kind in ItemKind.compared {
            for number in ranges(of: shard, kind) where found.count < limit {
                found += entries(in: RangeKey(shard: shard, kind: kind, number: number)).map(\.id)
                    .prefix(limit - found.count)
            }
        }
        return found
    }

    /// The boxes being swept.
    public func sweeps() -> [Bytes32: BoxSweep] { tables.sweeps }

    /// Sets the progress of a box's sweep; nil: it is finished.
    public mutating func setSweep(_ box: Bytes32, _ sweep: BoxSweep?) { tables.sweeps[box] = sweep }

    /// The shards of the replica.
    public func shards() -> [UInt16: ShardRecord] { tables.shards }

    /// Sets the record of a shard; nil: the replica no longer has it.
    public mutating func setShard(_ shard: UInt16, _ record: ShardRecord?) { tables.shards[shard] = record }

    /// Spoils the bytes of an entry, as a fault of a disk does; the next verification or ``bytes(of:)`` finds it.
    public mutating func damage(_ id: ItemID) { tables.damaged.insert(id) }

    /// Finds all entries that ``damage(_:)`` has spoiled.
    public mutating func verify(limit: Int) { tables.found.formUnion(tables.damaged) }

    /// Removes the entries that were found damaged.
    public mutating func removeDamaged() -> [UInt16: Int] {
        var shards: [UInt16: Int] = [:]
        for id in tables.found.sorted() {
            if let entry = tables.entries[id] { shards[entry.range.shard, default: 0] += 1 }
            remove(id)
        }
        tables.damaged.subtract(tables.found)
        tables.found = []
        return shards
    }

    /// Succeeds and undoes nothing, unless commits are set to fail.
    public mutating func commit() -> Bool {
        guard let kept else { return true }
        tables = kept
        return false
    }
}
