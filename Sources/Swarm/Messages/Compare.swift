internal import OnionCrypto
public import Wire

/// The unit of comparison: the items of one kind in a shard that were made in the same ten minutes.
public struct RangeKey: Hashable, Sendable {
    /// The shard of the items' boxes.
    public let shard: UInt16
    /// The kind of all its items.
    public let kind: ItemKind
    /// The number of the ten minutes since 1970.
    public let number: UInt32

    /// The range `number`.
    public init(shard: UInt16, kind: ItemKind, number: UInt32) {
        self.shard = shard
        self.kind = kind
        self.number = number
    }

    /// The day that it belongs to.
    var day: UInt16 { UInt16(truncatingIfNeeded: number / SwarmLimits.rangesPerDay) }
}

/// COMPARE: a step of a comparison, from the replica that drives it.
public struct Compare: Hashable, Sendable {
    /// Keys the short ids of this comparison.
    public let key: Bytes16
    /// The time of the comparison in minutes, a multiple of 10; only ranges that had settled by then are compared.
    public let cut: UInt32
    /// The question of this step.
    public let question: Question

    /// The step's question.
    public enum Question: Hashable, Sendable {
        /// 1: which of these shards differ?
        case shards([ShardDigest])
        /// 2: which days does a shard have?
        case days(shard: UInt16)
        /// 3: the digests of a day's ranges.
        case ranges(shard: UInt16, kind: ItemKind, day: UInt16)
        /// 4: the short ids of a range that are above `after`.
        case ids(RangeKey, after: UInt64)
    }

    /// One side's digest of a shard.
    public struct ShardDigest: Hashable, Sendable {
        /// The shard.
        public let shard: UInt16
        /// The digest of the shard's days.
        public let digest: Bytes32

        /// The digest of `shard`.
        public init(shard: UInt16, digest: Bytes32) {
            self.shard = shard
            self.digest = digest
        }
    }

    /// A step.
    public init(key: Bytes16, cut: UInt32, _ question: Question) {
        self.key = key
        self.cut = cut
        self.question = question
    }

    /// Reads a whole message.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        let round = try reader.u8()
        key = try reader.bytes16()
        cut = try reader.u32()
        guard cut % SwarmLimits.rangeMinutes == 0 else { throw .outOfRange }
        switch round {
        case 1:
            let count = try reader.u16()
            guard 1...SwarmLimits.compareShards ~= Int(count) else { throw .outOfRange }
            var shards: [ShardDigest] = []
            for _ in 0..<count {
                let shard = ShardDigest(shard: try reader.u16(), digest: try reader.bytes32())
                guard shards.last.map({ $0.shard < shard.shard }) ?? true else { throw .outOfRange }
                shards.append(shard)
            }
            question = .shards(shards)
        case 2: question = .days(shard: try reader.u16())
        case 3:
            question = .ranges(shard: try reader.u16(), kind: try reader.keptKind(), day: try reader.u16())
        case 4:
            let range = RangeKey(shard: try reader.u16(), kind: try reader.keptKind(), number: try reader.u32())
            question = .ids(range, after: try reader.ordered64())
        default: throw .unknownKind(UInt64(round))
        }
        try reader.end()
    }

    /// The encoding.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 64)
        func begin(_ round: UInt8, _ writer: inout ByteWriter) {
            writer.u8(round)
            writer.bytes16(key)
            writer.u32(cut)
        }
        switch question {
        case .shards(let shards):
            begin(1, &writer)
            writer.u16(UInt16(shards.count))
            for shard in shards {
                writer.u16(shard.shard)
                writer.bytes32(shard.digest)
            }
        case .days(let shard):
            begin(2, &writer)
            writer.u16(shard)
        case .ranges(let shard, let kind, let day):
            begin(3, &writer)
            writer.u16(shard)
            writer.u8(kind.rawValue)
            writer.u16(day)
        case .ids(let range, let after):
            begin(4, &writer)
            writer.u16(range.shard)
            writer.u8(range.kind.rawValue)
            writer.u32(range.number)
            writer.ordered64(after)
        }
        return writer.bytes
    }
}

/// The answers to COMPARE, one for each question.
public enum CompareAnswer: Hashable, Sendable {
    /// 1: the shards that differ.
    case shards([ShardState])
    /// 2: the days that have entries, by ascending kind and day.
    case days([DayDigest])
    /// 3: the digests of a day's 144 ranges; zeros for a range that is empty or not compared.
    case ranges([Bytes32])
    /// 4: up to 4,096 short ids, ascending.
    case ids([ShortState])

    /// The other side's state of a shard that differs.
    public struct ShardState: Hashable, Sendable {
        /// The shard.
        public let shard: UInt16
        /// Whether the other side may lack items.
        public let isOutOfDate: Bool
        /// Whether the other side does not compare this shard with the asker.
        public let isNotShared: Bool
        /// The digest of the shard's days; zeros if it is not shared.
        public let digest: Bytes32

        /// The state of `shard`.
        public init(shard: UInt16, isOutOfDate: Bool, isNotShared: Bool, digest: Bytes32) {
            self.shard = shard
            self.isOutOfDate = isOutOfDate
            self.isNotShared = isNotShared
            self.digest = digest
        }
    }

    /// A day of a kind that has entries.
    public struct DayDigest: Hashable, Sendable {
        /// The kind.
        public let kind: ItemKind
        /// The number of days since 1970.
        public let day: UInt16
        /// The digest of its ranges.
        public let digest: Bytes32

        /// A day of `kind`.
        public init(kind: ItemKind, day: UInt16, digest: Bytes32) {
            self.kind = kind
            self.day = day
            self.digest = digest
        }

        /// The position in an answer.
        var position: UInt32 { UInt32(kind.rawValue) << 16 | UInt32(day) }
    }

    /// A short id with the state of its item.
    public struct ShortState: Hashable, Sendable {
        /// Eight bytes of the keyed hash of the id.
        public let shortID: UInt64
        /// Whether the item was deleted.
        public let isDeleted: Bool

        /// The state of an item.
        public init(shortID: UInt64, isDeleted: Bool) {
            self.shortID = shortID
            self.isDeleted = isDeleted
        }
    }

    /// The encoding.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 1_024)
        switch self {
        case .shards(let shards):
            writer.u16(UInt16(shards.count))
            for shard in shards {
                writer.u16(shard.shard)
                writer.u8((shard.isOutOfDate ? 1 : 0) | (shard.isNotShared ? 2 : 0))
                writer.bytes32(shard.digest)
            }
        case .days(let days):
            writer.u8(UInt8(days.count))
            for day in days {
                writer.u8(day.kind.rawValue)
                writer.u16(day.day)
                writer.bytes32(day.digest)
            }
        case .ranges(let digests): for digest in digests { writer.bytes32(digest) }
        case .ids(let ids):
            writer.u16(UInt16(ids.count))
            for id in ids {
                writer.ordered64(id.shortID)
                writer.u8(id.isDeleted ? 2 : 1)
            }
        }
        return writer.bytes
    }

    /// Reads a whole answer to `question`.
    public init(decoding span: RawSpan, to question: Compare.Question) throws(WireError) {
        var reader = ByteReader(span)
        switch question {
        case .shards(let asked): self = .shards(try Self.shards(from: &reader, asked: asked))
        case .days: self = .days(try Self.days(from: &reader))
        case .ranges:
            var digests: [Bytes32] = []
            for _ in 0..<SwarmLimits.rangesPerDay { digests.append(try reader.bytes32()) }
            self = .ranges(digests)
        case .ids(_, let after): self = .ids(try Self.ids(from: &reader, after: after))
        }
        try reader.end()
    }

    private static func shards(
        from reader: inout ByteReader, asked: [Compare.ShardDigest]
    ) throws(WireError) -> [ShardState] {
        let count = try reader.u16()
        var shards: [ShardState] = []
        var open = asked[...]
        for _ in 0..<count {
            let shard = try reader.u16()
            let flags = try reader.u8()
            guard flags < 4 else { throw .unknownKind(UInt64(flags)) }
            // In the order of the question, each shard once.
            open = open.drop { $0.shard != shard }
            guard open.popFirst() != nil else { throw .outOfRange }
            let digest = try reader.bytes32()
            guard flags & 2 == 0 || digest.isZero else { throw .outOfRange }
            shards.append(
                ShardState(shard: shard, isOutOfDate: flags & 1 == 1, isNotShared: flags & 2 == 2, digest: digest))
        }
        return shards
    }

    private static func days(from reader: inout ByteReader) throws(WireError) -> [DayDigest] {
        var days: [DayDigest] = []
        for _ in 0..<(try reader.u8()) {
            let day = DayDigest(
                kind: try reader.keptKind(), day: try reader.u16(), digest: try reader.bytes32())
            guard days.last.map({ $0.position < day.position }) ?? true else { throw .outOfRange }
            days.append(day)
        }
        return days
    }

    private static func ids(from reader: inout ByteReader, after: UInt64) throws(WireError) -> [ShortState] {
        let count = try reader.u16()
        guard count <= SwarmLimits.compareIDs else { throw .outOfRange }
        var ids: [ShortState] = []
        var last = after
        for _ in 0..<count {
            let shortID = try reader.ordered64()
            let state = try reader.u8()
            guard shortID > last else { throw .outOfRange }
            guard 1...2 ~= state else { throw .unknownKind(UInt64(state)) }
            last = shortID
            ids.append(ShortState(shortID: shortID, isDeleted: state == 2))
        }
        return ids
    }
}

extension ByteReader {
    /// A kind that replicas compare.
    fileprivate mutating func keptKind() throws(WireError) -> ItemKind {
        let number = try u8()
        guard let kind = ItemKind(rawValue: number), kind.isKept else { throw .unknownKind(UInt64(number)) }
        return kind
    }
}

/// FETCH_COPIES: asks for copies that a comparison has shown to be missing.
public struct FetchCopies: Hashable, Sendable {
    /// The key of the comparison that found them missing; the short ids are made with it.
    public let key: Bytes16
    /// The range that has them.
    public let range: RangeKey
    /// Up to 4,096 short ids, ascending.
    public let shortIDs: [UInt64]

    /// A request for `shortIDs`, which are sorted.
    public init(key: Bytes16, range: RangeKey, shortIDs: [UInt64]) {
        precondition(1...SwarmLimits.compareIDs ~= shortIDs.count, "FETCH_COPIES has 1 to 4,096 ids")
        self.key = key
        self.range = range
        self.shortIDs = shortIDs.sorted()
    }

    /// Reads a whole message.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        key = try reader.bytes16()
        range = RangeKey(shard: try reader.u16(), kind: try reader.keptKind(), number: try reader.u32())
        let count = try reader.u16()
        guard 1...SwarmLimits.compareIDs ~= Int(count) else { throw .outOfRange }
        var shortIDs: [UInt64] = []
        for _ in 0..<count {
            let shortID = try reader.ordered64()
            guard shortIDs.last.map({ $0 < shortID }) ?? true else { throw .outOfRange }
            shortIDs.append(shortID)
        }
        try reader.end()
        self.shortIDs = shortIDs
    }

    /// The encoding.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 25 + shortIDs.count * 8)
        writer.bytes16(key)
        writer.u16(range.shard)
        writer.u8(range.kind.rawValue)
        writer.u32(range.number)
        writer.u16(UInt16(shortIDs.count))
        for shortID in shortIDs { writer.ordered64(shortID) }
        return writer.bytes
    }

    /// Reads an answer: copies up to its end.
    public static func copies(decoding span: RawSpan, network: Bytes32) throws(WireError) -> [Copy] {
        guard span.byteCount <= SwarmLimits.fetchBytes else { throw .outOfRange }
        var reader = ByteReader(span)
        var copies: [Copy] = []
        while reader.remaining > 0 { copies.append(try Copy(from: &reader, network: network)) }
        return copies
    }
}

/// Eight bytes of an id that can be recognised only with the id and the key.
public enum ShortID {
    /// The short id of `id` under the key of a comparison.
    public static func of(_ id: ItemID, key: Bytes16) -> UInt64 { of(id, key: key.array) }

    /// The short id of `id` in the request or session of `binding`.
    public static func of(_ id: ItemID, binding: Bytes32) -> UInt64 { of(id, key: binding.array) }

    private static func of(_ id: ItemID, key: [UInt8]) -> UInt64 {
        var hash = Blake2b(outputSize: 32, key: key.rawSpan)
        let message = [UInt8]("short id".utf8) + [0] + id.array
        hash.update(message.rawSpan)
        return hash.finish()[..<8].bigEndian
    }
}
