internal import Texts

/// What became of an item that was stored; for developers.
public struct StoredReport: Codable, Equatable, Sendable {
    /// The item's id, in hexadecimal.
    public var id: String
    /// How many replicas have signed that they hold it, and how many replicas there are.
    public var receipts: Int, of: Int
    /// How long it took, in milliseconds.
    public var time: Double

    enum CodingKeys: String, CodingKey {
        case id, receipts, of
        case time = "time_ms"
    }

    /// A report; the time is kept to 1 µs.
    public init(id: String, receipts: Int, of count: Int, time: Double) {
        self.id = id
        self.receipts = receipts
        of = count
        self.time = rounded(time, decimals: 3)
    }
}

/// A part of a box as one replica shows it; for developers.
public struct BoxReport: Codable, Equatable, Sendable {
    /// An item, or one that was deleted.
    public struct Entry: Codable, Equatable, Sendable {
        /// The replica's number of the entry in the box.
        public var offset: UInt64
        /// The item's kind.
        public var kind: Int
        /// Whether it was deleted.
        public var deleted: Bool
        /// Its id in hexadecimal; nil if it was deleted, or the replica did not give it.
        public var id: String?
        /// When it was made, in seconds since 1970, and its size in bytes.
        public var created: UInt64?, size: Int?
        /// What a message of `tunic box put` contains, in hexadecimal.
        public var content: String?

        /// An entry without its item.
        public init(offset: UInt64, kind: Int, deleted: Bool) {
            self.offset = offset
            self.kind = kind
            self.deleted = deleted
        }
    }

    /// The box, in hexadecimal.
    public var box: String
    /// The replica's node id.
    public var replica: String
    /// Whether the replica may lack items.
    public var outOfDate: Bool
    /// Where the next part begins, and whether there is more already.
    public var next: String, more: Bool
    /// The entries, in the order in which the replica got them.
    public var entries: [Entry]

    enum CodingKeys: String, CodingKey {
        case box, replica, next, more, entries
        case outOfDate = "out_of_date"
    }

    /// A report.
    public init(box: String, replica: String, outOfDate: Bool, next: String, more: Bool, entries: [Entry]) {
        self.box = box
        self.replica = replica
        self.outOfDate = outOfDate
        self.next = next
        self.more = more
        self.entries = entries
    }
}

/// What became of a deletion; for developers.
public struct DeletedReport: Codable, Equatable, Sendable {
    /// The item's id, in hexadecimal.
    public var id: String
    /// How many replicas have the deletion on their disks, and how many replicas there are.
    public var replicas: Int, of: Int

    /// A report.
    public init(id: String, replicas: Int, of count: Int) {
        self.id = id
        self.replicas = replicas
        of = count
    }
}

/// The replicas of a box; for developers.
public struct SwarmReport: Codable, Equatable, Sendable {
    /// A replica.
    public struct Replica: Codable, Equatable, Sendable {
        /// The node's id.
        public var node: String
    }

    /// The box, in hexadecimal.
    public var box: String
    /// Its shard, and the height of the snapshot that names the replicas.
    public var shard: Int, height: UInt64
    /// The replicas, in their order.
    public var replicas: [Replica]
    /// How many of them must sign for an item to be stored.
    public var majority: Int

    /// A report.
    public init(box: String, shard: Int, height: UInt64, replicas: [String], majority: Int) {
        self.box = box
        self.shard = shard
        self.height = height
        self.replicas = replicas.map { Replica(node: $0) }
        self.majority = majority
    }
}
