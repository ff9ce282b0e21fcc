public import Wire

/// The data of an item or its tombstone that a replica keeps in addition to the bytes.
public struct StoredEntry: Hashable, Sendable {
    /// The item's name.
    public let id: ItemID
    /// The box.
    public let box: Bytes32
    /// Shard, kind and time.
    public let range: RangeKey
    /// Whether it is a tombstone.
    public let isDeleted: Bool
    /// Whether it is a tombstone by the box key, which neither a grant nor effort can remove.
    public let isFinal: Bool
    /// Its number in the box, in the order of arrival; a deletion gets a new number.
    public let offset: UInt64
    /// How many bytes are kept.
    public let size: Int
    /// The name of which it is a version; nil for kinds 4 and 5.
    public let name: Bytes16?
    /// For kind 5 the leading zero bits of the effort; else 0.
    public let effort: UInt8

    /// The data of an entry.
    public init(
        id: ItemID, box: Bytes32, range: RangeKey, isDeleted: Bool, isFinal: Bool, offset: UInt64, size: Int,
        name: Bytes16?, effort: UInt8
    ) {
        self.id = id
        self.box = box
        self.range = range
        self.isDeleted = isDeleted
        self.isFinal = isFinal
        self.offset = offset
        self.size = size
        self.name = name
        self.effort = effort
    }

    /// The item's kind.
    public var kind: ItemKind { range.kind }
    /// When it was made, in minutes.
    public var created: UInt32 { range.number &* SwarmLimits.rangeMinutes }
    /// The minute from which it has expired.
    public var expires: UInt32 { created &+ kind.life }
    /// How much it counts in the node's quota, in bytes.
    public var room: Int { Self.room(size) }
    /// How much an entry of `size` bytes counts: a row with its indices is longer than a tombstone.
    static func room(_ size: Int) -> Int { max(size, SwarmLimits.leastRoom) }
    /// How much it counts in its box's quota, in bytes.
    var share: Int { isDeleted ? SwarmLimits.tombstoneShare : size }

    /// Whether it is dropped before `other`: it has less effort, or at equal effort the greater id.
    func isWeaker(than other: StoredEntry) -> Bool {
        effort == other.effort ? other.id < id : effort < other.effort
    }
}

/// The data of a box, kept as long as the box has an entry.
public struct BoxRecord: Hashable, Sendable {
    /// When the first entry arrived, in minutes.
    public let firstSeen: UInt32
    /// A random number that identifies the numbering.
    public let log: UInt64
    /// The offset of the next entry.
    public var next: UInt64

    /// The data of a box.
    public init(firstSeen: UInt32, log: UInt64, next: UInt64) {
        self.firstSeen = firstSeen
        self.log = log
        self.next = next
    }
}

/// The use of a box by one kind.
public struct BoxUsage: Hashable, Sendable {
    /// The bytes of items, and the share of tombstones.
    public var bytes = 0
    /// The number of items, without tombstones.
    public var items = 0
    /// The number of tombstones.
    public var tombstones = 0
    /// How many of the tombstones are by the box key.
    public var finals = 0

    /// An empty box.
    public init() {}

    /// Adds (`sign` 1) or subtracts (-1) an entry.
    public mutating func add(_ entry: StoredEntry, _ sign: Int) {
        bytes += sign * entry.share
        if entry.isDeleted { tombstones += sign } else { items += sign }
        if entry.isFinal { finals += sign }
    }
}

/// The contents of a shard.
public struct ShardTotals: Hashable, Sendable {
    /// How many entries there are.
    public var entries = 0
    /// How much they count in the node's quota, in bytes.
    public var bytes = 0

    /// An empty shard.
    public init() {}
}

/// The times of a replica's role in a shard, in minutes, and other data that must outlast the process.
public struct ShardRecord: Hashable, Sendable {
    /// When a snapshot first named it for the shard.
    public var joined: UInt32
    /// When the newest snapshot stopped naming it; nil while it does.
    public var left: UInt32?
    /// When none of the kept snapshots named it any more; from then on it takes nothing new.
    public var closed: UInt32?
    /// Since when it has stood in for a suspended node.
    public var standIn: UInt32?
    /// Former replicas, each with the time until which it may take part.
    public var former: [NodeID: UInt32] = [:]

    /// A shard from `joined` on.
    public init(joined: UInt32, left: UInt32? = nil) {
        self.joined = joined
        self.left = left
    }
}

/// The state of dropping the messages of a box that a new grant or purge no longer allows.
public struct BoxSweep: Hashable, Sendable {
    /// The offset up to which messages have been checked.
    public var after: UInt64 = 0
    /// Whether a writer's key changed after its first eight bytes, so that signatures must be verified again.
    public var verifies: Bool

    /// A sweep from the first message.
    public init(verifies: Bool) { self.verifies = verifies }
}

/// The storage of a replica's entries: on a disk, or in memory for tests.
///
/// All calls are synchronous; everything from one ``commit()`` to the next is one transaction.
public protocol ItemStorage {
    /// How much all entries count in the node's quota, in bytes.
    var bytesUsed: Int { get }
    /// Mixed into the log ids that readers see; drawn anew for a new storage, a restored one, and one that was not
    /// closed cleanly.
    var logSalt: UInt64 { get set }

    /// The entry of an id.
    func entry(_ id: ItemID) -> StoredEntry?
    /// The bytes of an item or of a tombstone.
    func bytes(of id: ItemID) -> [UInt8]?
    /// Keeps an entry; it replaces one with the same id.
    mutating func keep(_ entry: StoredEntry, bytes: [UInt8])
    /// Removes an entry, and the record of its box with the box's last entry.
    mutating func remove(_ id: ItemID)

    /// The data of a box.
    func box(_ key: Bytes32) -> BoxRecord?
    /// Sets the data of a box, before its first entry is kept.
    mutating func setBox(_ key: Bytes32, _ record: BoxRecord)
    /// The use of a box by a kind.
    func usage(of box: Bytes32, _ kind: ItemKind) -> BoxUsage
    /// At most `limit` entries of a box above an offset, by ascending offset.
    func entries(of box: Bytes32, _ kinds: ItemKinds, above offset: UInt64, limit: Int) -> [StoredEntry]
    /// The version of a name.
    func version(of box: Bytes32, _ kind: ItemKind, _ name: Bytes16) -> StoredEntry?
    /// The entry of kind 5 that is dropped first: among items, or among tombstones by a token.
    func weakest(of box: Bytes32, isDeleted: Bool) -> StoredEntry?

    /// The numbers of the ranges of a shard and kind that have entries, ascending.
    func ranges(of shard: UInt16, _ kind: ItemKind) -> [UInt32]
    /// How many entries a range has; this reads none of them.
    func count(in range: RangeKey) -> Int
    /// The entries of a range by ascending id.
    func entries(in range: RangeKey) -> [StoredEntry]
    /// The digest of a range, cached until an entry of it changes.
    mutating func digest(of range: RangeKey) -> Bytes32
    /// How many bytes were hashed so far for digests of ranges that were not cached.
    var hashedBytes: Int { get }
    /// A number that changes with each change of a shard's entries.
    func changes(of shard: UInt16) -> UInt64

    /// The shards that have entries, each with what they have.
    func totals() -> [UInt16: ShardTotals]

    /// At most `limit` entries that have expired.
    func expired(at minute: UInt32, limit: Int) -> [ItemID]
    /// At most `limit` entries of a shard.
    func items(of shard: UInt16, limit: Int) -> [ItemID]

    /// The boxes being swept.
    func sweeps() -> [Bytes32: BoxSweep]
    /// Sets the progress of a box's sweep; nil: it is finished.
    mutating func setSweep(_ box: Bytes32, _ sweep: BoxSweep?)

    /// The shards of the replica.
    func shards() -> [UInt16: ShardRecord]
    /// Sets the record of a shard; nil: the replica no longer has it.
    mutating func setShard(_ shard: UInt16, _ record: ShardRecord?)

    /// Compares the next `limit` entries with their checksums, in an order of its own.
    mutating func verify(limit: Int)
    /// Removes the entries that were found damaged since the last call, so that other replicas can bring them again.
    mutating func removeDamaged() -> [UInt16: Int]

    /// Writes everything since the last commit to the disk; false: this failed, and all of it is undone.
    mutating func commit() -> Bool
}
