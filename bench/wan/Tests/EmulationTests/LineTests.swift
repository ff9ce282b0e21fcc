import Testing

@testable import Emulation

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
