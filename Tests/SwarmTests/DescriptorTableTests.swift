import OnionCrypto
import SeededRandom
import SwarmModel
import Testing
import Wire

@testable import Swarm

/// A result that a test needs is missing.
private struct Unexpected: Error {}

extension Key {
    /// The node with this number, from which descriptors come.
    fileprivate static func peer(_ number: UInt32) -> NodeID { peers[Int(number)] }
    private static let peers = (0..<40 as Range<UInt32>).map { Key(9_000 + $0).node }
    /// What a descriptor counts for that another replica brought.
    fileprivate static func source(_ number: UInt32, shard: UInt16 = 3) -> DescriptorPlaces.Source {
        .init(shard: shard, coordinator: peer(number), bringer: peer(number))
    }
    /// What a descriptor counts for that a client stored over the proxy with this number.
    fileprivate static func client(over number: UInt32, shard: UInt16 = 3) -> DescriptorPlaces.Source {
        .init(shard: shard, coordinator: peer(0), bringer: peer(number))
    }
}

/// The table of items of kind 1 when it is full.
@Suite struct DescriptorTableTests {
    private let box = Box(Key(1))
    private let now = firstMinute

    /// A descriptor of the box with this number.
    private func descriptor(_ number: UInt32, counter: UInt8 = 0) -> StoredItem {
        Box(Key(400 + number)).named(
            .descriptor, name("web"), created: now, counter: counter, content: [], certified: Key(3))
    }

    /// How many of the boxes with these numbers have their descriptor in `table`.
    private func held(_ numbers: Range<UInt32>, in table: DescriptorTable) -> Int {
        numbers.count { table.version(of: Key(400 + $0).publicKey, name("web")) != nil }
    }

    /// Has `table` take an item for which it must have room.
    private func take(
        _ item: StoredItem, from source: DescriptorPlaces.Source, in table: inout DescriptorTable
    ) throws {
        guard table.take(item, from: source, now: 0) else { throw Unexpected() }
    }

    @Test("SW17: a flood over many proxies displaces nothing that another replica brought")
    func sw17Proxies() throws {
        var table = DescriptorTable(capacity: 64)
        for number in 0..<8 as Range<UInt32> { try take(descriptor(number), from: Key.source(1), in: &table) }
        for number in 100..<400 as Range<UInt32> {
            _ = table.take(descriptor(number), from: Key.client(over: 2 + number % 38), now: 0)
        }
        #expect(table.count == 48 && held(0..<8, in: table) == 8)
    }

    @Test("SW17: a flood of one shard displaces nothing of another, also of the same coordinator")
    func sw17Shards() throws {
        var table = DescriptorTable(capacity: 64)
        for number in 0..<8 as Range<UInt32> {
            try take(descriptor(number), from: Key.source(1, shard: 4), in: &table)
        }
        for number in 8..<12 as Range<UInt32> {
            try take(descriptor(number), from: Key.source(2), in: &table)
        }
        // The flood is spread over its shard's coordinators, so that each of them has less than the busy one.
        for number in 100..<400 as Range<UInt32> {
            _ = table.take(descriptor(number), from: Key.source(1 + number % 6), now: 0)
        }
        #expect(table.count == 48 && held(0..<8, in: table) == 8)
        // A new name of the other shard gets in.
        try take(descriptor(50), from: Key.source(1, shard: 4), in: &table)
        #expect(held(0..<8, in: table) == 8 && held(50..<51, in: table) == 1)
    }

    @Test("SW17: a newer version moves a name away from a coordinator with many")
    func sw17Moves() throws {
        var table = DescriptorTable(capacity: 64)
        for number in 0..<8 as Range<UInt32> { try take(descriptor(number), from: Key.source(1), in: &table) }
        try take(descriptor(0, counter: 1), from: Key.source(2), in: &table)
        for number in 100..<300 as Range<UInt32> { _ = table.take(descriptor(number), from: Key.source(1), now: 0) }
        #expect(table.count == 48 && held(0..<1, in: table) == 1 && held(1..<8, in: table) == 0)
    }

    @Test("SW17: a new name in a full table costs no pass over all names")
    func sw17FullTable() throws {
        let places = 6_144
        var table = DescriptorTable(capacity: places / 3 * 4)
        var bytes = box.named(.descriptor, name("web"), created: now, content: [], certified: Key(3)).bytes
        func take(_ numbers: Range<UInt32>) throws {
            for number in numbers {
                for (place, shift) in zip(2..<6, [24, 16, 8, 0] as [UInt32]) {
                    bytes[place] = UInt8(truncatingIfNeeded: number >> shift)
                }
                let item = try StoredItem(decoding: bytes.rawSpan, network: network)
                let isTaken = table.take(item, from: Key.source(number % 5), now: 0)
                #expect(isTaken)
                // Half of the names are looked up, so that their ranks rise.
                if number % 2 == 0 { _ = table.lookUp(item.header.box, name: .zeros, minute: now) }
            }
        }
        try take(0..<UInt32(places))
        #expect(table.count == places)
        let filled = table.steps
        #expect(filled < 10)
        try take(UInt32(places)..<UInt32(places + 2_000))
        #expect(table.count == places)
        #expect(table.steps - filled < 4 * 2_000)
    }

    @Test("SW17: what gives way is what a search through all would find")
    func sw17Order() throws {
        var random = SeededGenerator(seed: 3)
        let places = 24
        var table = DescriptorTable(capacity: places / 3 * 4)
        /// What should be held: by number, with the source, the minute and the quarters in which it was looked up.
        var model: [(number: UInt32, item: StoredItem, source: DescriptorPlaces.Source, lookups: Set<UInt32>)] = []
        /// The groups that may lose one for the group `own`: itself if none has two more, else those with the most.
        func losers<Group: Hashable>(_ group: (DescriptorPlaces.Source) -> Group, own: Group?) -> Set<Group> {
            let counts = Dictionary(grouping: model.map { group($0.source) }) { $0 }.mapValues(\.count)
            let most = counts.values.max() ?? 0
            if let own, counts[own] ?? 0 >= most - 1 { return [own] }
            return Set(counts.filter { $0.value == most }.keys)
        }
        var minute = now
        func named(_ number: UInt32) -> StoredItem {
            let created = minute - minute % 10 - UInt32.random(in: 0...3, using: &random) * 10
            return Box(Key(400 + number)).named(
                .descriptor, name("web"), created: created, content: [], certified: Key(3))
        }
        for number in 0..<400 as Range<UInt32> {
            minute += UInt32.random(in: 0...2, using: &random)
            table.expire(minute: minute)
            model.removeAll { $0.item.header.expires <= minute }
            let quarter = minute / 15
            func level(_ lookups: Set<UInt32>) -> Int { lookups.count { $0 + 4 > quarter } }
            for _ in 0..<3 {
                guard let index = model.indices.randomElement(using: &random) else { continue }
                let item = model[index].item
                #expect(table.lookUp(item.header.box, name: .zeros, minute: minute) == [item])
                model[index].lookups.insert(quarter)
            }
            let shard = UInt16.random(in: 0...1, using: &random)
            let peer = UInt32.random(in: 0...3, using: &random)
            let source = peer < 2 ? Key.client(over: peer, shard: shard) : Key.source(peer, shard: shard)
            let item = named(number)
            if model.count == places {
                let isTaken = table.take(item, from: source, now: UInt64(number))
                let left = table
                let gone = model.filter { left.version(of: $0.item.header.box, name("web")) == nil }
                // A new source gets no place where all others of the same kind have one each.
                guard isTaken else {
                    #expect(gone.isEmpty && !model.contains { $0.source == source })
                    continue
                }
                #expect(gone.count == 1)
                guard let victim = gone.first else { throw Unexpected() }
                let all = model
                let shards = losers(\.shard, own: shard)
                #expect(shards.contains(victim.source.shard))
                model = all.filter { $0.source.shard == victim.source.shard }
                let isOwn = shards == [shard]
                let coordinators = losers(\.coordinator, own: isOwn ? source.coordinator : nil)
                #expect(coordinators.contains(victim.source.coordinator))
                model = model.filter { $0.source.coordinator == victim.source.coordinator }
                let isOwnLine = isOwn && coordinators == [source.coordinator]
                #expect(losers(\.bringer, own: isOwnLine ? source.bringer : nil).contains(victim.source.bringer))
                model = all
                let first = model.filter { $0.source == victim.source }.map {
                    (level($0.lookups), $0.item.header.created)
                }
                .min { $0 < $1 }
                #expect(first.map { $0 == (level(victim.lookups), victim.item.header.created) } == true)
                model.removeAll { $0.number == victim.number }
            } else {
                let isTaken = table.take(item, from: source, now: UInt64(number))
                #expect(isTaken)
            }
            model.append((number, item, source, []))
            #expect(table.count == model.count)
        }
    }
}
