import OnionCrypto
import SeededRandom
import ServicesModel
import Swarm
import SwarmModel
import Testing
import Wire

@testable import Services

/// What replicas of two periods can find out together.
@Suite struct PeriodTests {
    /// A part of an item that is not the same in all.
    private struct Field {
        let name: String
        let range: Range<Int>
    }

    private let fields = [
        Field(name: "box", range: 2..<34), Field(name: "label", range: 64..<72), Field(name: "counter", range: 80..<81),
        Field(name: "signing key", range: 84..<116), Field(name: "certificate, point", range: 116..<148),
        Field(name: "certificate, number", range: 148..<179), Field(name: "salt", range: 180..<196),
        Field(name: "sealed", range: 196..<4_032), Field(name: "signature, point", range: 4_032..<4_064),
        Field(name: "signature, number", range: 4_064..<4_095),
    ]

    /// How different two items are in a field.
    private func difference(_ a: [UInt8], _ b: [UInt8], _ field: Field) -> Int {
        guard field.range.count > 1 else {
            return abs(Int(a[field.range.lowerBound]) - Int(b[field.range.lowerBound]))
        }
        // Every fourth byte of the long field: all of it would take seconds.
        let step = field.range.count > 100 ? 4 : 1
        return stride(from: field.range.lowerBound, to: field.range.upperBound, by: step).reduce(0) {
            $0 + (a[$1] ^ b[$1]).nonzeroBitCount
        }
    }

    /// How often a pair of one service differs less than a pair of two; half is chance.
    private func advantage(_ same: [Int], _ other: [Int]) -> Double {
        let sorted = other.sorted()
        func below(_ value: Int, _ isBelow: (Int, Int) -> Bool) -> Int {
            var (low, high) = (0, sorted.count)
            while low < high {
                let middle = (low + high) / 2
                if isBelow(sorted[middle], value) { low = middle + 1 } else { high = middle }
            }
            return low
        }
        let sum = same.reduce(0) { $0 + below($1, <) + below($1, <=) }
        return 1 - Double(sum) / Double(2 * same.count * sorted.count)
    }

    @Test("SV2: no field of 1,000 pairs of descriptors tells whether a pair is of one service")
    func sv2_fieldsOfTwoPeriods() throws {
        let count = 1_000
        var random = SeededGenerator(seed: 2)
        var seen: Set<[UInt8]> = []
        var pairs: [[[UInt8]]] = []
        for number in 0..<UInt32(count) {
            let service = Service(number)
            let descriptor = service.descriptor()
            pairs.append(
                try firstPeriod.withPrevious.map { period in
                    var stamps = DescriptorStamps()
                    let stamp = stamps.next(at: firstTime, random: &random)
                    return try service.signer(in: period).item(of: descriptor, stamp).bytes
                })
            for bytes in pairs[pairs.count - 1] {
                // No part stands in two items, not even of one service.
                for field in fields where field.range.count > 1 {
                    let isNew = seen.insert(Array(bytes[field.range.prefix(16)])).inserted
                    #expect(isNew, "\(field.name)")
                }
            }
        }
        for field in fields {
            let same = pairs.map { difference($0[0], $0[1], field) }
            let other = pairs.indices.map { difference(pairs[$0][0], pairs[($0 + 1) % count][1], field) }
            // The deviation of chance is 0.013.
            #expect(abs(advantage(same, other) - 0.5) < 0.08, "\(field.name)")
        }
        // The classifier sees what it should: with the label of one period in both, it knows.
        let known = Field(name: "label", range: 64..<72)
        let same = pairs.map { difference($0[0], $0[0], known) }
        let other = pairs.indices.map { difference(pairs[$0][0], pairs[($0 + 1) % count][1], known) }
        #expect(advantage(same, other) > 0.99)
    }

    @Test("SV2: all bytes outside of the fields are the same in every descriptor of ten minutes")
    func sv2_noOtherField() {
        let a = Service(1).item(counter: 3)
        let restricted = Service(2).item(
            of: Service(2).descriptor(3, points: 6, traits: .singleHop), clients: [ClientKey()])
        let inFields = Set(fields.flatMap { Array($0.range) } + [179, 4_095])
        for place in a.bytes.indices where !inFields.contains(place) {
            #expect(a.bytes[place] == restricted.bytes[place], "byte \(place)")
        }
        // The highest bits of a signature's number are zero in all.
        for item in [a, restricted] { #expect(item.bytes[179] >> 4 <= 1 && item.bytes[4_095] >> 4 <= 1) }
    }

    @Test func aServiceOfAnotherPeriodIsFound() throws {
        // A service that is one period behind or ahead of the client has one box in common with it.
        let service = Service(1)
        for number in [firstPeriod.number - 1, firstPeriod.number, firstPeriod.number + 1] {
            let published = TimePeriod(number: number).withPrevious.map { service.signer(in: $0).box }
            let asked = firstPeriod.withPrevious.map { service.reader(in: $0).box }
            #expect(!Set(published).isDisjoint(with: asked))
        }
    }
}
