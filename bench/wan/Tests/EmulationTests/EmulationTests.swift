import Testing

@testable import Emulation

private let millisecond: Nanoseconds = 1_000_000

/// Two hosts, a and b, in simulated time.
private struct Lab {
    var emulation: Emulation
    var time: Nanoseconds = 0

    init(_ commands: String..., slots: Int = 4_096, share: Int = 2_048, seed: UInt64 = 1) throws {
        emulation = Emulation(slots: slots, share: share, seed: seed)
        for text in ["host a", "host b", "address a 10.0.0.1", "address a fd00::1", "address b 10.0.0.2"] + commands {
            try command(text)
        }
    }

    mutating func command(_ text: String) throws {
        let answer = try emulation.command(text, at: time)
        #expect(answer == "ok")
    }

    mutating func take() throws -> Int {
        let slot = emulation.take()
        return try #require(slot)
    }

    /// Sends from a to b; the slot, which tells packets apart.
    @discardableResult
    mutating func send(_ length: Int = 1_000) throws -> Int {
        let slot = try take()
        emulation.receive(
            slot, length: length, from: 0, ends: (Address(v4: 0x0a00_0001), Address(v4: 0x0a00_0002)), at: time)
        return slot
    }

    /// What comes out until then, with the times at which it does.
    mutating func arrivals(by end: Nanoseconds) -> [(time: Nanoseconds, slot: Int)] {
        var arrived: [(Nanoseconds, Int)] = []
        while let deadline = emulation.deadline, deadline <= end {
            time = max(time, deadline)
            guard let delivery = emulation.next(by: time) else { continue }
            arrived.append((time, delivery.slot))
            emulation.release(delivery.slot)
        }
        time = end
        return arrived
    }

    var route: Emulation.Route { emulation.routes[0] }
}

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

@Suite struct Lines {
    @Test func packetsLeaveAtTheRate() throws {
        // 1,000 bytes at 8 Mbit/s: a millisecond each.
        var lab = try Lab("line l rate=8M queue=1s", "segment x delay=10ms", "route a b l x")
        for _ in 0..<5 { try lab.send() }
        var arrived = lab.arrivals(by: 100 * millisecond)
        #expect(arrived.map(\.time) == (11...15).map { $0 * millisecond })
        try lab.send(500)
        arrived = lab.arrivals(by: 200 * millisecond)
        #expect(arrived.map(\.time) == [110 * millisecond + millisecond / 2])
    }

    @Test func theTailIsDropped() throws {
        var lab = try Lab("line l rate=8M queue=3500", "route a b l")
        let sent = [try lab.send(), try lab.send(), try lab.send()]
        try lab.send()  // has no room
        let small = try lab.send(500)
        let arrived = lab.arrivals(by: 100 * millisecond)
        #expect(arrived.map(\.slot) == sent + [small])
        #expect(lab.route.dropped == 1)
        #expect(lab.emulation.lines[0].dropped == 1)
        #expect(lab.emulation.lines[0].droppedBytes == 1_000)
        #expect(lab.emulation.lines[0].mostWaiting == 3_500)
        #expect(lab.emulation.used == 0)
    }

    @Test func anEmptyLineTakesWhatIsLongerThanItsQueue() throws {
        var lab = try Lab("line l rate=8k queue=10ms", "route a b l")
        try lab.send()
        let arrived = lab.arrivals(by: 2_000 * millisecond)
        #expect(arrived.map(\.time) == [1_000 * millisecond])
    }

    @Test func aQueueInTimeFollowsTheRate() throws {
        var lab = try Lab("line l rate=8M queue=10ms", "route a b l")
        #expect(lab.emulation.lines[0].room == 10_000)
        try lab.command("line l rate=80M")
        #expect(lab.emulation.lines[0].room == 100_000)
        try lab.command("line l queue=20ms")
        #expect(lab.emulation.lines[0].room == 200_000)
    }

    @Test func aNewRateHoldsAtOnce() throws {
        var lab = try Lab("line l rate=8M queue=1s", "route a b l")
        for _ in 0..<3 { try lab.send() }
        var arrived = lab.arrivals(by: millisecond / 2).map(\.time)
        #expect(arrived.isEmpty)
        // Half of the first packet is left; it takes ten times as long, and so do the others.
        try lab.command("line l rate=800k")
        arrived = lab.arrivals(by: 16 * millisecond).map(\.time)
        #expect(arrived == [5_500_000, 15_500_000])
        try lab.command("line l rate=80M")
        arrived = lab.arrivals(by: 100 * millisecond).map(\.time)
        #expect(arrived == [16_095_000])
        try lab.send()
        try lab.command("line l rate=0")
        arrived = lab.arrivals(by: lab.time).map(\.time)
        #expect(arrived.count == 1)
        #expect(lab.emulation.lines[0].waiting == 0)
    }

    @Test func twoRoutesShareALine() throws {
        var lab = try Lab("line l rate=8M queue=1s", "route a b l", "host c", "address c 10.0.0.3", "route c b l")
        try lab.send()
        let slot = try lab.take()
        lab.emulation.receive(
            slot, length: 1_000, from: 2, ends: (Address(v4: 0x0a00_0003), Address(v4: 0x0a00_0002)), at: 0)
        let arrived = lab.arrivals(by: 10 * millisecond)
        #expect(arrived.map(\.time) == [millisecond, 2 * millisecond])
    }

    /// Rates that change and packets of all lengths, against a line that works bit by bit.
    @Test(arguments: 1...20) func agreesWithASlowLine(seed: Int) throws {
        var chance = Chance(seed: UInt64(seed))
        var lab = try Lab("line l rate=8M queue=1000000", "route a b l")
        // The slow line counts in steps of 10 microseconds, in which it moves 10 times `rate` bits.
        var waiting: [(slot: Int, bits: Int)] = []
        var rate = 8
        var expected: [Int] = []
        var arrived: [Int] = []
        for step in 1...4_000 {
            if chance.happens(0.02) {
                let length = 100 + Int(chance.next() % 14) * 100
                waiting.append((try lab.send(length), 8 * length))
            }
            if chance.happens(0.002) {
                rate = [1, 2, 4, 8, 16][Int(chance.next() % 5)]
                try lab.command("line l rate=\(rate)M")
            }
            var left = 10 * rate
            while left > 0, let first = waiting.first {
                let moved = min(left, first.bits)
                waiting[0].bits -= moved
                left -= moved
                if waiting[0].bits == 0 { expected.append(waiting.removeFirst().slot) }
            }
            arrived += lab.arrivals(by: Nanoseconds(step) * 10_000).map(\.slot)
            #expect(abs(arrived.count - expected.count) <= 1)
        }
        let count = min(arrived.count, expected.count)
        #expect(count > 10)
        #expect(arrived[..<count] == expected[..<count])
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

@Suite struct Texts {
    @Test(arguments: [
        "nothing", "host", "host a", "host a b", "host a\"b", "address c 10.0.0.1", "address a 10.0.0",
        "address a 10.0.0.256",
        "forget a 10.0.0.9", "segment", "segment x delay", "segment x delay=5", "segment x delay=-1ms",
        "segment x delay=9999999s",
        "segment x loss=2", "segment x loss=-1", "segment x loss=nan", "segment x rate=1M", "line", "line l rate=x",
        "line l queue=-5",
        "line l delay=5ms", "route a", "route a c", "route a b y", "cut", "cut c",
    ])
    func badCommands(text: String) throws {
        var lab = try Lab()
        #expect(throws: CommandError.self) { try lab.emulation.command(text, at: 0) }
    }

    @Test func aSegmentKeepsWhatIsNotNamed() throws {
        var lab = try Lab("segment x delay=20ms loss=1%")
        try lab.command("segment x jitter=2.5ms reorder=0.05 late=500us")
        let segment = lab.emulation.segments[0]
        #expect(segment.delay == 20 * millisecond && segment.loss == 0.01 && segment.jitter == 2_500_000)
        #expect(segment.reorder == 0.05 && segment.late == 500_000)
    }

    @Test func aRouteUnderWayIsNotChanged() throws {
        var lab = try Lab("segment x delay=20ms", "route a b x")
        try lab.send()
        #expect(throws: CommandError.self) { try lab.emulation.command("route a b", at: 0) }
    }

    @Test func everythingIsCounted() throws {
        var lab = try Lab("segment x delay=1ms", "line l rate=8M queue=10ms", "route a b l x")
        try lab.send()
        _ = lab.arrivals(by: 100 * millisecond)
        let counts = try lab.emulation.command("counts", at: 0)
        #expect(
            counts == """
                {"routes":{"a>b":{"packets":1,"bytes":1000,"lost":0,"dropped":0,"cut":0,"full":0,"held":0}},\
                "lines":{"l":{"packets":1,"bytes":1000,"dropped":0,"dropped_bytes":0,"waiting":0,"most_waiting":1000}},\
                "segments":{"x":{"lost":0,"reordered":0}},"slots":0,"malformed":0,"foreign":0,"unknown":0}
                """)
    }

    @Test(
        arguments: [
            ("::", 0, 0), ("::1", 0, 1), ("fd00::", 0xfd00_0000_0000_0000, 0),
            ("fd00::1:2", 0xfd00_0000_0000_0000, 0x1_0002),
            ("1:2:3:4:5:6:7:8", 0x0001_0002_0003_0004, 0x0005_0006_0007_0008), ("10.1.2.3", 0, 0xffff_0a01_0203),
        ] as [(String, UInt64, UInt64)])
    func addressesAreRead(text: String, high: UInt64, low: UInt64) {
        #expect(Address(text: text) == Address(high: high, low: low))
    }

    @Test(arguments: [
        "", ":", "1:2", "1::2::3", "1:2:3:4:5:6:7:8:9", "::1:", "1:2:3:4:5:6:7::8", "g::", "10.0.0.1.2", "10..0.1",
    ])
    func noAddresses(text: String) { #expect(Address(text: text) == nil) }

    @Test func packetsNameTheirEnds() {
        var four = [UInt8](repeating: 0, count: 20)
        four[0] = 0x45
        four.replaceSubrange(12..., with: [10, 0, 0, 1, 10, 0, 0, 2])
        expect(four, Address(v4: 0x0a00_0001), Address(v4: 0x0a00_0002))
        expectNone(Array(four[..<19]))
        var six = [UInt8](repeating: 0, count: 40)
        six[0] = 0x60
        six[8] = 0xfd
        six[23] = 1
        six[39] = 2
        expect(six, Address(high: 0xfd00_0000_0000_0000, low: 1), Address(high: 0, low: 2))
        expectNone(Array(six[..<39]))
        six[0] = 0x50
        expectNone(six)
    }

    private func expect(_ packet: [UInt8], _ source: Address, _ destination: Address) {
        let ends = addresses(of: packet.span.bytes)
        #expect(ends?.source == source && ends?.destination == destination)
    }

    private func expectNone(_ packet: [UInt8]) {
        let isNone = addresses(of: packet.span.bytes) == nil
        #expect(isNone)
    }
}

@Suite struct Schedules {
    @Test func comesOutInOrder() {
        var chance = Chance(seed: 3)
        var schedule = Schedule()
        var times: [(Nanoseconds, Int)] = []
        for subject in 0..<500 {
            let time = Nanoseconds(chance.next() % 50)
            schedule.add(subject, at: time)
            times.append((time, subject))
        }
        var out: [Int] = []
        while let first = schedule.first {
            out.append(first.subject)
            schedule.removeFirst()
        }
        #expect(out == times.sorted { $0 < $1 }.map(\.1))
    }
}
