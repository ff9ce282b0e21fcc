public import Wire

/// A replica's answer to a client's request: a result, with status 0, or a refusal.
public enum StoreAnswer: Hashable, Sendable {
    /// To STORE: receipts by the map at `height`.
    case stored(height: UInt64, [IndexedReceipt])
    /// To DELETE: how many ids are deleted, and how many replicas have that on disk.
    case deleted(UInt8, replicas: UInt8)
    /// To LIST.
    case listed(Listing)
    /// To FETCH and LOOKUP: items; to FETCH also tombstones, which differ in size.
    case items([[UInt8]])
    /// To any of them.
    case refused(StoreRefusal)

    /// A receipt with the position of its replica.
    public struct IndexedReceipt: Hashable, Sendable {
        /// The replica's position in the swarm.
        public let index: UInt8
        /// The receipt.
        public let receipt: [UInt8]

        /// The receipt of the replica at `index`.
        public init(index: UInt8, receipt: [UInt8]) {
            precondition(receipt.count == StoreReceipt.size, "a receipt has 64 bytes")
            self.index = index
            self.receipt = receipt
        }
    }

    /// A part of a box's contents.
    public struct Listing: Hashable, Sendable {
        /// An item or a tombstone in a listing.
        public struct Entry: Hashable, Sendable {
            /// The number of the entry in the box.
            public let offset: UInt64
            /// Eight bytes of the id, keyed by the request.
            public let shortID: UInt64
            /// The item's kind.
            public let kind: ItemKind
            /// The item's size class; 255: the item was deleted.
            public let sizeClass: UInt8

            /// The size class of a deleted item.
            public static let deleted: UInt8 = 255
            /// Whether the item was deleted.
            public var isDeleted: Bool { sizeClass == Self.deleted }
        }

        /// The id of the box's log, which numbers the entries.
        public let log: UInt64
        /// Whether the replica may lack items.
        public let isOutOfDate: Bool
        /// Whether more entries follow.
        public let hasMore: Bool
        /// The entries by ascending offset.
        public let entries: [Entry]
    }

    /// The request that an answer belongs to.
    public enum Method: CaseIterable, Sendable {
        /// STORE.
        case store
        /// DELETE.
        case delete
        /// LIST.
        case list
        /// FETCH.
        case fetch
        /// LOOKUP.
        case lookup
    }

    /// The status and the result.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 1_024)
        if case .refused(let refusal) = self { return refusal.encoded() }
        writer.u8(0)
        switch self {
        case .stored(let height, let receipts):
            writer.u64(height)
            writer.u8(UInt8(receipts.count))
            for entry in receipts {
                writer.u8(entry.index)
                writer.raw(entry.receipt)
            }
        case .deleted(let count, let replicas):
            writer.u8(count)
            writer.u8(replicas)
        case .listed(let listing):
            writer.u64(listing.log)
            writer.u8((listing.isOutOfDate ? 1 : 0) | (listing.hasMore ? 2 : 0))
            writer.u16(UInt16(listing.entries.count))
            for entry in listing.entries {
                writer.u64(entry.offset)
                writer.ordered64(entry.shortID)
                writer.u8(entry.kind.rawValue)
                writer.u8(entry.sizeClass)
            }
        case .items(let items):
            writer.u8(UInt8(items.count))
            for item in items {
                writer.u32(UInt32(item.count))
                writer.raw(item)
            }
        case .refused: break
        }
        return writer.bytes
    }

    /// Reads a whole answer to a request of `method`; the items in it are not decoded.
    public init(decoding span: RawSpan, to method: Method) throws(WireError) {
        var reader = ByteReader(span)
        let status = try reader.u8()
        if status != 0 {
            self = .refused(try StoreRefusal(status, from: &reader))
        } else {
            switch method {
            case .store: self = try Self.receipts(from: &reader)
            case .delete:
                let count = try reader.u8()
                let replicas = try reader.u8()
                guard count <= SwarmLimits.deletions, replicas <= SwarmLimits.swarmSize else { throw .outOfRange }
                self = .deleted(count, replicas: replicas)
            case .list: self = .listed(try Listing(from: &reader))
            case .fetch: self = .items(try Self.items(from: &reader, most: SwarmLimits.fetchOffsets, tombstones: true))
            case .lookup: self = .items(try Self.items(from: &reader, most: SwarmLimits.lookups, tombstones: false))
            }
        }
        try reader.end()
    }

    private static func receipts(from reader: inout ByteReader) throws(WireError) -> StoreAnswer {
        let height = try reader.u64()
        let count = try reader.u8()
        var receipts: [IndexedReceipt] = []
        for _ in 0..<count {
            let index = try reader.u8()
            // Ascending indices, so that no replica counts twice.
            guard index < SwarmLimits.swarmSize, receipts.last.map({ $0.index < index }) ?? true else {
                throw .outOfRange
            }
            receipts.append(IndexedReceipt(index: index, receipt: try reader.array(StoreReceipt.size)))
        }
        return .stored(height: height, receipts)
    }

    private static func items(
        from reader: inout ByteReader, most: Int, tombstones: Bool
    ) throws(WireError) -> [[UInt8]] {
        let count = try reader.u8()
        guard count <= most else { throw .outOfRange }
        var items: [[UInt8]] = []
        for _ in 0..<count {
            let length = Int(try reader.u32())
            guard SwarmLimits.itemSizes.contains(length) || (tombstones && length == Tombstone.size) else {
                throw .outOfRange
            }
            items.append(try reader.array(length))
        }
        return items
    }
}

extension StoreAnswer.Listing {
    /// Reads a listing.
    init(from reader: inout ByteReader) throws(WireError) {
        log = try reader.u64()
        let flags = try reader.u8()
        guard flags < 4 else { throw .unknownKind(UInt64(flags)) }
        isOutOfDate = flags & 1 == 1
        hasMore = flags & 2 == 2
        let count = try reader.u16()
        guard count <= SwarmLimits.listEntries else { throw .outOfRange }
        var entries: [Entry] = []
        for _ in 0..<count {
            let offset = try reader.u64()
            let shortID = try reader.ordered64()
            let number = try reader.u8()
            guard let kind = ItemKind(rawValue: number), kind.isKept else { throw .unknownKind(UInt64(number)) }
            let sizeClass = try reader.u8()
            guard Int(sizeClass) < SwarmLimits.itemSizes.count || sizeClass == Entry.deleted,
                offset > entries.last?.offset ?? 0
            else { throw .outOfRange }
            entries.append(Entry(offset: offset, shortID: shortID, kind: kind, sizeClass: sizeClass))
        }
        self.entries = entries
    }
}
