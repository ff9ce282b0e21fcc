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
    fileprivate static func source(_ number: UInt32) -> NodeID { sources[Int(number)] }
    private static let sources = (0..<5 as Range<UInt32>).map { Key(9_000 + $0).node }
}

/// The table of items of kind 1 when it is full.
@Suite struct DescriptorTableTests {
    private let box = Box(Key(1))
    private let now = firstMinute

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
        #expect(table.steps == 0)
        try take(UInt32(places)..<UInt32(places + 2_000))
        #expect(table.count == places)
        #expect(table.steps < 4 * 2_000)
    }

    @Test("SW17: what gives way is what a search through all would find")
    func sw17Order() throws {
        var random = SeededGenerator(seed: 3)
        let places = 24
        var table = DescriptorTable(capacity: places / 3 * 4)
        /// What should be held: by number, with the source, the minute and the quarters in which it was looked up.
        var model: [(number: UInt32, item: StoredItem, source: UInt32, lookups: Set<UInt32>)] = []
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
            let source = UInt32.random(in: 0...2, using: &random)
            let item = named(number)
            if model.count == places {
                let counts = Dictionary(grouping: model, by: \.source).mapValues(\.count)
                let most = counts.values.max() ?? 0
                // A source with as many as any loses one of its own; otherwise one of those with the most does.
                let losers = counts[source] ?? 0 >= most - 1 ? [source] : counts.filter { $0.value == most }.map(\.key)
                let isTaken = table.take(item, from: Key.source(source), now: UInt64(number))
                #expect(isTaken)
                let left = table
                let gone = model.filter { left.version(of: $0.item.header.box, name("web")) == nil }
                #expect(gone.count == 1)
                guard let victim = gone.first else { throw Unexpected() }
                #expect(losers.contains(victim.source))
                let first = model.filter { $0.source == victim.source }.map {
                    (level($0.lookups), $0.item.header.created)
                }
                .min { $0 < $1 }
                #expect(first.map { $0 == (level(victim.lookups), victim.item.header.created) } == true)
                model.removeAll { $0.number == victim.number }
            } else {
                let isTaken = table.take(item, from: Key.source(source), now: UInt64(number))
                #expect(isTaken)
            }
            model.append((number, item, source, []))
            #expect(table.count == model.count)
        }
    }
}
