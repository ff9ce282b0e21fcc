import Testing

@testable import Emulation

@Suite struct Delays {
    @Test func segmentsAddUp() throws {
        var lab = try Lab("segment x delay=20ms", "segment y delay=30ms", "route a b x y y")
        try lab.send()
        let arrived = lab.arrivals(by: 1_000 * millisecond)
        #expect(arrived.map(\.time) == [80 * millisecond])
        #expect(lab.emulation.used == 0)
    }

    @Test func aRouteWithoutElementsTakesNoTime() throws {
        var lab = try Lab("route a b")
        try lab.send()
        let arrived = lab.arrivals(by: 0)
        #expect(arrived.map(\.time) == [0])
    }

    @Test func jitterIsEvenAndKeepsTheOrder() throws {
        var lab = try Lab("segment x delay=20ms jitter=5ms", "route a b x")
        var sent: [Int] = []
        var times: [Nanoseconds] = []
        // Far apart, so that nothing waits for an earlier packet.
        for _ in 0..<2_000 {
            let begin = lab.time
            try lab.send()
            times += lab.arrivals(by: begin + 100 * millisecond).map { $0.time - begin }
        }
        #expect(times.count == 2_000)
        #expect(times.allSatisfy { (15 * millisecond...25 * millisecond).contains($0) })
        let mean = times.reduce(0, +) / 2_000
        #expect(abs(mean - 20 * millisecond) < millisecond / 4)
        // All at once.
        for _ in 0..<500 { sent.append(try lab.send()) }
        let arrived = lab.arrivals(by: lab.time + 100 * millisecond)
        #expect(arrived.map(\.slot) == sent)
    }

    @Test func reorderedPacketsAreOvertaken() throws {
        var lab = try Lab("segment x delay=20ms reorder=10% late=5ms", "route a b x")
        var begins: [Int: Nanoseconds] = [:]
        var late = 0
        var count = 0
        for step in 0..<1_000 as Range<Nanoseconds> {
            begins[try lab.send()] = lab.time
            for (time, slot) in lab.arrivals(by: (step + 1) * millisecond) {
                let taken = time - (begins[slot] ?? 0)
                #expect(taken == 20 * millisecond || taken == 25 * millisecond)
                late += taken > 20 * millisecond ? 1 : 0
                count += 1
            }
        }
        #expect(count > 950)
        #expect((70...130).contains(late))
        #expect((70...130).contains(lab.emulation.segments[0].reordered))
    }

    @Test func aChangedDelayDoesNotReorder() throws {
        var lab = try Lab("segment x delay=100ms", "route a b x")
        let first = try lab.send()
        try lab.command("segment x delay=10ms")
        let second = try lab.send()
        let arrived = lab.arrivals(by: 200 * millisecond)
        #expect(arrived.map(\.slot) == [first, second])
        #expect(arrived.map(\.time) == [100 * millisecond, 100 * millisecond])
    }
}

@Suite struct Losses {
    @Test(arguments: [0.001, 0.01, 0.3]) func aShareIsLost(loss: Double) throws {
        var lab = try Lab("segment x loss=\(loss)", "route a b x")
        var arrived = 0
        for _ in 0..<20_000 {
            try lab.send()
            arrived += lab.arrivals(by: lab.time).count
        }
        let lost = 20_000 - arrived
        let expected = 20_000 * loss
        #expect(abs(Double(lost) - expected) < 4 * (expected * (1 - loss)).squareRoot())
        #expect(lab.route.lost == lost)
        #expect(lab.emulation.segments[0].lost == lost)
    }

    @Test func aSeedDecidesWhich() throws {
        func fates(_ seed: UInt64) throws -> [Bool] {
            var lab = try Lab("segment x loss=0.5", "route a b x", seed: seed)
            return try (0..<200).map { _ in
                try lab.send()
                return !lab.arrivals(by: lab.time).isEmpty
            }
        }
        #expect(try fates(7) == fates(7))
        #expect(try fates(7) != fates(8))
    }

    @Test func aHostThatIsOffSendsAndGetsNothing() throws {
        var lab = try Lab("segment x delay=10ms", "route a b x")
        try lab.send()
        try lab.command("cut b")
        try lab.send()
        var arrived = lab.arrivals(by: 20 * millisecond)
        #expect(arrived.isEmpty)
        #expect(lab.route.cut == 2)
        try lab.command("mend b")
        try lab.send()
        arrived = lab.arrivals(by: 40 * millisecond)
        #expect(arrived.count == 1)
        #expect(lab.emulation.used == 0)
    }
}

@Suite struct Bounds {
    @Test func slotsRunOut() throws {
        var lab = try Lab("segment x delay=10ms", "route a b x", slots: 3)
        for _ in 0..<3 { try lab.send() }
        let none = lab.emulation.take()
        #expect(none == nil)
        let arrived = lab.arrivals(by: 10 * millisecond)
        #expect(arrived.count == 3)
        let free = lab.emulation.take()
        #expect(free != nil)
    }

    @Test func aRouteHasAShare() throws {
        var lab = try Lab("segment x delay=10ms", "route a b x", slots: 10, share: 4)
        for _ in 0..<6 { try lab.send() }
        #expect(lab.route.full == 2)
        #expect(lab.emulation.used == 4)
        let arrived = lab.arrivals(by: 10 * millisecond)
        #expect(arrived.count == 4)
    }

    @Test func straysAreCounted() throws {
        var lab = try Lab("route a b")
        let here = Address(v4: 0x0a00_0001)
        let there = Address(v4: 0x0a00_0002)
        for ends in [nil, (there, here), (here, Address(v4: 0x0a00_0009)), (here, here)] as [(Address, Address)?] {
            let slot = try lab.take()
            lab.emulation.receive(slot, length: 60, from: 0, ends: ends, at: 0)
        }
        #expect(lab.emulation.strays == Emulation.Strays(malformed: 1, foreign: 1, unknown: 2))
        #expect(lab.emulation.used == 0)
    }

    @Test func anAddressMoves() throws {
        var lab = try Lab("route a b")
        try lab.command("forget b 10.0.0.2")
        try lab.send()
        #expect(lab.emulation.strays.unknown == 1)
        try lab.command("address b 10.0.0.2")
        try lab.command("address b 10.0.0.1")  // which was a's
        try lab.send()
        #expect(lab.emulation.strays.foreign == 1)
    }
}
