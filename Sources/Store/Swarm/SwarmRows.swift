internal import OnionCrypto
internal import Swarm
internal import Wire

/// The first eight bytes of the hash of `bytes`, with which faults of the disk are found.
func checksum(_ bytes: [UInt8]) -> Int64 {
    Blake2b.digest(bytes.rawSpan).array.prefix(8).reduce(0) { $0 << 8 | Int64($1) }
}

/// A row of the table `entries`, with its checksums.
struct EntryRow {
    let entry: StoredEntry
    /// The row of the item's bytes in `bodies`, and their checksum.
    let body: Int64
    let bodySum: Int64

    /// The columns of a whole row, for ``init(_:)``.
    static let columns = "shard, kind, range, id, box, place, form, size, effort, name, body, body_sum, seal"

    init(_ entry: StoredEntry, body: Int64, bodySum: Int64) {
        self.entry = entry
        self.body = body
        self.bodySum = bodySum
    }

    /// Reads a row of these columns; nil if its checksum does not agree with it.
    init?(_ row: Database.Row) {
        guard let shard = UInt16(exactly: row.integer(0)),
            let kind = UInt8(exactly: row.integer(1)).flatMap(ItemKind.init(rawValue:)),
            let number = UInt32(exactly: row.integer(2)), let id = Bytes32(row.blob(3)),
            let box = Bytes32(row.blob(4)), let place = UInt64(exactly: row.integer(5)),
            let form = UInt8(exactly: row.integer(6)), form <= 2, let size = Int(exactly: row.integer(7)),
            let effort = UInt8(exactly: row.integer(8))
        else { return nil }
        let name = row.blob(9)
        guard name.isEmpty || name.count == 16 else { return nil }
        entry = StoredEntry(
            id: id, box: box, range: RangeKey(shard: shard, kind: kind, number: number), isDeleted: form > 0,
            isFinal: form == 2, offset: place, size: size, name: Bytes16(name), effort: effort)
        body = row.integer(10)
        bodySum = row.integer(11)
        guard row.integer(12) == seal else { return nil }
    }

    /// How the entry's form is stored: an item, a tombstone by a token, one by the box key.
    var form: UInt8 { entry.isFinal ? 2 : entry.isDeleted ? 1 : 0 }

    private var seal: Int64 {
        var writer = ByteWriter(capacity: 128)
        writer.u16(entry.range.shard)
        writer.u8(entry.kind.rawValue)
        writer.u32(entry.range.number)
        writer.bytes32(entry.id)
        writer.bytes32(entry.box)
        writer.u64(entry.offset)
        writer.u8(form)
        writer.u64(UInt64(clamping: entry.size))
        writer.u8(entry.effort)
        writer.raw(entry.name?.array ?? [])
        writer.u64(UInt64(bitPattern: body))
        writer.u64(UInt64(bitPattern: bodySum))
        return checksum(writer.bytes)
    }

    /// The values of all columns.
    var values: [Database.Value] {
        [
            .integer(Int64(entry.range.shard)), .integer(Int64(entry.kind.rawValue)),
            .integer(Int64(entry.range.number)), .blob(entry.id.array), .blob(entry.box.array),
            .integer(Int64(clamping: entry.offset)), .integer(Int64(form)), .integer(Int64(entry.size)),
            .integer(Int64(entry.effort)), entry.name.map { .blob($0.array) } ?? .null, .integer(body),
            .integer(bodySum), .integer(seal),
        ]
    }
}

/// The primary key of a row of `entries` as it was read, right or wrong.
struct EntryKey: Hashable {
    let shard: Int64
    let kind: Int64
    let range: Int64
    let id: [UInt8]

    init(_ row: Database.Row) {
        shard = row.integer(0)
        kind = row.integer(1)
        range = row.integer(2)
        id = row.blob(3)
    }

    init(_ entry: StoredEntry) {
        shard = Int64(entry.range.shard)
        kind = Int64(entry.kind.rawValue)
        range = Int64(entry.range.number)
        id = entry.id.array
    }

    var values: [Database.Value] { [.integer(shard), .integer(kind), .integer(range), .blob(id)] }
}

/// A row of the table `boxes`: the box's record, and its use by each kind.
struct BoxRow: Equatable {
    var record: BoxRecord
    var usage: [ItemKind: BoxUsage] = [:]

    init(_ record: BoxRecord) { self.record = record }

    /// Whether the box has no entry.
    var isEmpty: Bool { usage.values.allSatisfy { $0.items <= 0 && $0.tombstones <= 0 } }

    /// Reads a row; nil if its checksum does not agree with it.
    init?(decoding bytes: [UInt8]) {
        guard let content = SealedRow.open(bytes) else { return nil }
        var reader = ByteReader(content.rawSpan)
        do throws(WireError) {
            record = BoxRecord(firstSeen: try reader.u32(), log: try reader.u64(), next: try reader.u64())
            for _ in 0..<(try reader.u8()) {
                guard let kind = ItemKind(rawValue: try reader.u8()) else { return nil }
                var use = BoxUsage()
                use.bytes = Int(clamping: try reader.u64())
                use.items = Int(try reader.u32())
                use.tombstones = Int(try reader.u32())
                use.finals = Int(try reader.u32())
                usage[kind] = use
            }
        } catch { return nil }
    }

    /// The row with its checksum.
    var bytes: [UInt8] {
        var writer = ByteWriter(capacity: 80)
        writer.u32(record.firstSeen)
        writer.u64(record.log)
        writer.u64(record.next)
        let used = usage.filter { $0.value != BoxUsage() }.sorted { $0.key.rawValue < $1.key.rawValue }
        writer.u8(UInt8(clamping: used.count))
        for (kind, use) in used {
            writer.u8(kind.rawValue)
            writer.u64(UInt64(clamping: use.bytes))
            writer.u32(UInt32(clamping: use.items))
            writer.u32(UInt32(clamping: use.tombstones))
            writer.u32(UInt32(clamping: use.finals))
        }
        return SealedRow.seal(writer.bytes)
    }
}

/// Bytes that end with their checksum.
enum SealedRow {
    static func seal(_ content: [UInt8]) -> [UInt8] {
        var writer = ByteWriter(capacity: content.count + 8)
        writer.raw(content)
        writer.u64(UInt64(bitPattern: checksum(content)))
        return writer.bytes
    }

    /// The content; nil if the checksum does not agree with it.
    static func open(_ bytes: [UInt8]) -> [UInt8]? {
        guard bytes.count >= 8 else { return nil }
        let content = Array(bytes.dropLast(8))
        return seal(content) == bytes ? content : nil
    }
}

extension ShardRecord {
    /// The record with its checksum.
    var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.u32(joined)
        for time in [left, closed, standIn] {
            writer.u8(time == nil ? 0 : 1)
            writer.u32(time ?? 0)
        }
        writer.u16(UInt16(clamping: former.count))
        for (node, time) in former.sorted(by: { $0.key < $1.key }) {
            writer.bytes32(node.key)
            writer.u32(time)
        }
        return SealedRow.seal(writer.bytes)
    }

    /// Reads a record; nil if its checksum does not agree with it.
    init?(decoding bytes: [UInt8]) {
        guard let content = SealedRow.open(bytes) else { return nil }
        var reader = ByteReader(content.rawSpan)
        do throws(WireError) {
            self.init(joined: try reader.u32())
            var times: [UInt32?] = []
            for _ in 0..<3 {
                let isSet = try reader.u8() == 1
                let time = try reader.u32()
                times.append(isSet ? time : nil)
            }
            (left, closed, standIn) = (times[0], times[1], times[2])
            for _ in 0..<(try reader.u16()) {
                let node = NodeID(try reader.bytes32())
                former[node] = try reader.u32()
            }
        } catch { return nil }
    }
}
