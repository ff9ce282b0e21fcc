public import Wire

/// What a replica keeps of an item or of its tombstone, beside the bytes.
public struct StoredEntry: Hashable, Sendable {
    /// The item's name.
    public let id: ItemID
    /// The box.
    public let box: Bytes32
    /// Shard, kind and time.
    public let range: RangeKey
    /// Whether it is a tombstone.
    public let isDeleted: Bool
    /// Whether it is a tombstone by the box key, which no grant and no effort ends.
    public let isFinal: Bool
    /// Its number in the box, in the order of arrival; a deletion has a new one.
    public let offset: UInt64
    /// How many bytes are kept.
    public let size: Int
    /// Of which name it is a version; nil for kinds 4 and 5.
    public let name: Bytes16?
    /// Leading zero bits of the effort, of kind 5; else 0.
    public let effort: UInt8

    /// The item's kind.
    public var kind: ItemKind { range.kind }
    /// When it was made, in minutes.
    public var created: UInt32 { range.number &* SwarmLimits.rangeMinutes }
    /// The minute from which it has expired.
    public var expires: UInt32 { created &+ kind.life }
    /// What it counts of its box's quota.
    var share: Int { isDeleted ? SwarmLimits.tombstoneShare : size }

    /// Whether it is to give way before `other`: less effort, then the greater id.
    func isWeaker(than other: StoredEntry) -> Bool {
        effort == other.effort ? other.id < id : effort < other.effort
    }
}

/// What a replica knows of a box as long as it holds something of it.
public struct BoxRecord: Hashable, Sendable {
    /// When the first entry came, in minutes.
    public let firstSeen: UInt32
    /// A random number: names the numbering.
    public let log: UInt64
    /// The offset of the next entry.
    public var next: UInt64
}

/// What a box holds of one kind.
public struct BoxUsage: Hashable, Sendable {
    /// Bytes of items, and the share of tombstones.
    public var bytes = 0
    /// How many items.
    public var items = 0
    /// How many tombstones.
    public var tombstones = 0
    /// How many of the tombstones are by the box key.
    public var finals = 0

    /// An empty box.
    public init() {}
}

/// Since when a replica has a shard, in minutes, and what must outlast the process.
public struct ShardRecord: Hashable, Sendable {
    /// When it was named for it.
    public var joined: UInt32
    /// When the newest snapshot ceased to name it; nil while it does.
    public var left: UInt32?
    /// When none of the kept snapshots named it any more, so that it takes nothing new.
    public var closed: UInt32?
    /// Since when it stands in for a suspended node.
    public var standIn: UInt32?
    /// Former replicas, and until when they may take part.
    public var former: [NodeID: UInt32] = [:]

    /// A shard from `joined` on.
    public init(joined: UInt32, left: UInt32? = nil) {
        self.joined = joined
        self.left = left
    }
}

/// Messages of a box that a new grant or purge has yet to drop.
public struct BoxSweep: Hashable, Sendable {
    /// Up to which offset they were looked at.
    public var after: UInt64 = 0
    /// Whether a writer's key changed in more than its first eight bytes, so that signatures are verified again.
    public var verifies: Bool

    /// A sweep from the first message on.
    public init(verifies: Bool) { self.verifies = verifies }
}

/// Where a replica keeps its entries: on a disk, or in memory for tests.
///
/// All is synchronous, and in one transaction from one ``commit()`` to the next.
public protocol ItemStorage {
    /// Bytes of all entries.
    var bytesUsed: Int { get }
    /// Mixed into the log ids that readers see; drawn anew for a new, a restored and an uncleanly ended storage.
    var logSalt: UInt64 { get set }

    /// The entry of an id.
    func entry(_ id: ItemID) -> StoredEntry?
    /// The bytes of an item or of a tombstone.
    func bytes(of id: ItemID) -> [UInt8]?
    /// Keeps an entry, in place of that of the same id.
    mutating func keep(_ entry: StoredEntry, bytes: [UInt8])
    /// Removes an entry; with the last one of a box its record too.
    mutating func remove(_ id: ItemID)

    /// What is known of a box.
    func box(_ key: Bytes32) -> BoxRecord?
    /// Sets what is known of a box, before its first entry is kept.
    mutating func setBox(_ key: Bytes32, _ record: BoxRecord)
    /// What a box holds of a kind.
    func usage(of box: Bytes32, _ kind: ItemKind) -> BoxUsage
    /// At most `limit` entries of a box above an offset, by ascending offset.
    func entries(of box: Bytes32, _ kinds: ItemKinds, above offset: UInt64, limit: Int) -> [StoredEntry]
    /// The version of a name.
    func version(of box: Bytes32, _ kind: ItemKind, _ name: Bytes16) -> StoredEntry?
    /// The entry of kind 5 that gives way first, among items or among tombstones by a token.
    func weakest(of box: Bytes32, isDeleted: Bool) -> StoredEntry?

    /// The numbers of the ranges of a shard and kind that have entries, ascending.
    func ranges(of shard: UInt16, _ kind: ItemKind) -> [UInt32]
    /// The entries of a range by ascending id.
    func entries(in range: RangeKey) -> [StoredEntry]
    /// The digest of a range, which is kept until an entry of it changes.
    mutating func digest(of range: RangeKey) -> Bytes32
    /// A number that changes with each entry of a shard.
    func changes(of shard: UInt16) -> UInt64

    /// At most `limit` entries that have expired.
    func expired(at minute: UInt32, limit: Int) -> [ItemID]
    /// At most `limit` entries of a shard.
    func items(of shard: UInt16, limit: Int) -> [ItemID]

    /// The boxes that are being swept.
    func sweeps() -> [Bytes32: BoxSweep]
    /// Sets how far a box is swept; nil: it is through.
    mutating func setSweep(_ box: Bytes32, _ sweep: BoxSweep?)

    /// The shards that the replica has.
    func shards() -> [UInt16: ShardRecord]
    /// Sets since when a shard is had; nil: it is not.
    mutating func setShard(_ shard: UInt16, _ record: ShardRecord?)

    /// Puts everything since the last commit on the disk; false: it failed, and all of it is undone.
    mutating func commit() -> Bool
}
