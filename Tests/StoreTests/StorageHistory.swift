import SeededRandom
import Swarm
import SwarmModel
import Wire

/// Changes of two storages at once, by seed, and what both must agree on.
struct StorageHistory {
    private var random: SeededGenerator
    private let boxes = (1...5 as ClosedRange<UInt32>).map { Key($0).publicKey }
    private let shards: [UInt16] = [0, 3, 65_535]
    private let names = ["a", "b", "c"].map { SwarmModel.name($0) }
    private var ids: [ItemID] = []
    private var number: UInt64 = 0

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    private func id(_ number: UInt64) -> ItemID { Key(UInt32(truncatingIfNeeded: number) + 500).publicKey }

    /// Makes one change in both.
    mutating func change(_ one: inout MemoryStorage, _ other: inout any ItemStorage) {
        switch Int.random(in: 0..<12, using: &random) {
        case 0, 1:
            if let id = ids.randomElement(using: &random) {
                one.remove(id)
                other.remove(id)
            }
        case 2:
            let shard = shards.randomElement(using: &random) ?? 0
            var record: ShardRecord? = ShardRecord(joined: UInt32.random(in: 0...50, using: &random))
            record?.closed = random.happens(50) ? 9 : nil
            record?.former = [NodeID(boxes[0]): 7, NodeID(boxes[1]): 8]
            if random.happens(20) { record = nil }
            one.setShard(shard, record)
            other.setShard(shard, record)
        case 3:
            let box = boxes.randomElement(using: &random) ?? boxes[0]
            var sweep: BoxSweep? = BoxSweep(verifies: random.happens(50))
            sweep?.after = UInt64.random(in: 0...50, using: &random)
            if random.happens(30) { sweep = nil }
            one.setSweep(box, sweep)
            other.setSweep(box, sweep)
        case 4:
            let salt = random.next()
            one.logSalt = salt
            other.logSalt = salt
        default: keep(&one, &other)
        }
    }

    private mutating func keep(_ one: inout MemoryStorage, _ other: inout any ItemStorage) {
        let box = boxes.randomElement(using: &random) ?? boxes[0]
        // Sometimes an id once more, as its tombstone or again.
        let again = random.happens(25) ? ids.randomElement(using: &random).flatMap { one.entry($0) } : nil
        number += 1
        let kinds: [ItemKind] = [.account, .record, .message, .contact]
        let kind = again?.kind ?? kinds.randomElement(using: &random) ?? .message
        let isDeleted = !kind.isMutable && random.happens(again == nil ? 10 : 80)
        let range =
            again?.range
            ?? RangeKey(
                shard: shards.randomElement(using: &random) ?? 0, kind: kind,
                number: firstMinute / 10 + UInt32.random(in: 0...20, using: &random))
        let key = again?.box ?? box
        var record = one.box(key) ?? BoxRecord(firstSeen: 5, log: random.next(), next: 1)
        let size = isDeleted ? 226 : SwarmLimits.itemSizes[Int.random(in: 0..<3, using: &random)]
        let entry = StoredEntry(
            id: again?.id ?? id(number), box: key, range: range, isDeleted: isDeleted,
            isFinal: isDeleted && random.happens(50), offset: record.next, size: size,
            name: kind.isMutable ? again?.name ?? names.randomElement(using: &random) : nil,
            effort: kind == .contact ? UInt8.random(in: 0...3, using: &random) : 0)
        record.next += 1
        let bytes = (0..<size).map { UInt8(truncatingIfNeeded: UInt64($0) &* 31 &+ number) }
        ids.append(entry.id)
        // As `Holdings.take` does it, the old version of a name goes after the new one has come.
        let replaced = entry.name.flatMap { one.version(of: key, kind, $0) }
        one.setBox(key, record)
        other.setBox(key, record)
        one.keep(entry, bytes: bytes)
        other.keep(entry, bytes: bytes)
        if let replaced, replaced.id != entry.id {
            one.remove(replaced.id)
            other.remove(replaced.id)
        }
    }

    /// What the two do not agree on.
    func differences(_ one: inout MemoryStorage, _ other: inout any ItemStorage) -> [String] {
        var found: [String] = []
        func compare(_ what: String, _ isSame: Bool) { if !isSame { found.append(what) } }
        compare("bytes used", one.bytesUsed == other.bytesUsed)
        compare("salt", one.logSalt == other.logSalt)
        compare("totals", one.totals() == other.totals())
        compare("shards", one.shards() == other.shards())
        compare("sweeps", one.sweeps() == other.sweeps())
        for id in ids {
            compare("entry", one.entry(id) == other.entry(id))
            compare("bytes", one.bytes(of: id) == other.bytes(of: id))
        }
        for box in boxes {
            compare("box", one.box(box) == other.box(box))
            for kind in ItemKind.allCases {
                compare("usage \(kind)", one.usage(of: box, kind) == other.usage(of: box, kind))
                for name in names {
                    compare("version", one.version(of: box, kind, name) == other.version(of: box, kind, name))
                }
            }
            for isDeleted in [true, false] {
                let first = one.weakest(of: box, isDeleted: isDeleted)
                let second = other.weakest(of: box, isDeleted: isDeleted)
                compare("weakest", first == second)
            }
            for after in [0, 1, 7, .max] as [UInt64] {
                for limit in [0, 1, 5, 1_000] {
                    let kinds = [ItemKinds.all, ItemKinds(bits: 0b1_1000) ?? .all]
                    for kinds in kinds {
                        compare(
                            "log",
                            one.entries(of: box, kinds, above: after, limit: limit)
                                == other.entries(of: box, kinds, above: after, limit: limit))
                    }
                }
            }
        }
        for shard in shards {
            compare(
                "items", one.items(of: shard, limit: 1_000).sorted() == other.items(of: shard, limit: 1_000).sorted())
            compare("items, limit", one.items(of: shard, limit: 2).count == other.items(of: shard, limit: 2).count)
            for kind in ItemKind.allCases {
                compare("ranges", one.ranges(of: shard, kind) == other.ranges(of: shard, kind))
                for number in one.ranges(of: shard, kind) + [1] {
                    let range = RangeKey(shard: shard, kind: kind, number: number)
                    compare("count", one.count(in: range) == other.count(in: range))
                    compare("range", one.entries(in: range) == other.entries(in: range))
                    compare("digest", one.digest(of: range) == other.digest(of: range))
                }
            }
        }
        for minute in [firstMinute, firstMinute + ItemKind.message.life + 100, UInt32.max / 2] {
            compare(
                "expired",
                one.expired(at: minute, limit: 10_000).sorted() == other.expired(at: minute, limit: 10_000).sorted())
            compare(
                "expired, limit", one.expired(at: minute, limit: 3).count == other.expired(at: minute, limit: 3).count)
        }
        return found
    }
}
