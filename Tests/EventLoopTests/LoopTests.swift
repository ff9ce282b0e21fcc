import Glibc
import Testing

@testable import EventLoop

@Suite struct LoopTests {
    @Test("R12: a clock past the year 2554 stands still there") func clockBeyond() {
        #expect(Loop.nanoseconds(1_800_000_000, 5) == 1_800_000_000_000_000_005)
        let last = Int(UInt64.max / 1_000_000_000)
        #expect(Loop.nanoseconds(last, 709_551_615) == .max && Loop.nanoseconds(last, 709_551_614) == .max - 1)
        #expect(Loop.nanoseconds(last, 999_999_999) == .max && Loop.nanoseconds(last + 1, 0) == .max)
        #expect(Loop.nanoseconds(.max, .max) == .max)
        // The kernel's clock may be set before 1970.
        #expect(Loop.nanoseconds(-5, 7) == 7 && Loop.nanoseconds(.min, .min) == 0)
    }

    @Test func timersFireInTheOrderOfTheirDeadlines() throws {
        let loop = try Loop()
        defer { loop.close() }
        let start = loop.refreshNow()
        var fired: [Int] = []
        let offsets: [UInt64] = [30, 10, 20, 10, 5, 25, 10]
        let timers = offsets.indices.map { index in LoopTimer(on: loop) { fired.append(index) } }
        for (timer, offset) in zip(timers, offsets) { timer.schedule(at: start + offset * 100_000) }
        run(loop) { fired.count == offsets.count }
        #expect(fired == [4, 1, 3, 6, 2, 5, 0])
        #expect(timers.allSatisfy { $0.deadline == nil })
    }

    @Test func aTimerFiresNeverEarlyAndOnce() throws {
        let loop = try Loop()
        defer { loop.close() }
        var times: [UInt64] = []
        let deadline = loop.refreshNow() + 300_000
        let timer = LoopTimer(on: loop) { times.append(loop.now) }
        timer.schedule(at: deadline)
        let end = LoopTimer(on: loop) { loop.stop() }
        end.schedule(at: deadline + 2_000_000)
        loop.run()
        #expect(times.count == 1)
        #expect(times[0] >= deadline)
    }

    @Test func deadlinesBelowAMillisecondAreKept() throws {
        let loop = try Loop()
        defer { loop.close() }
        // A busy machine prolongs delays, so the shortest of many counts. libuv's own timers are at least 1 ms apart.
        var least = UInt64.max
        var asked = UInt64(0)
        var count = 0
        var timer: LoopTimer?
        timer = LoopTimer(on: loop) {
            least = min(least, loop.refreshNow() - asked)
            count += 1
            asked = loop.now
            timer?.schedule(at: asked + 100_000)
        }
        asked = loop.refreshNow()
        timer?.schedule(at: asked + 100_000)
        run(loop) { count >= 50 && least < 900_000 || count >= 1_000 }
        #expect(least >= 100_000 && least < 900_000)
        timer?.close()
    }

    @Test func settingATimerLaterOrEarlierAndCancellingCount() throws {
        let loop = try Loop()
        defer { loop.close() }
        var fired: [String] = []
        let start = loop.refreshNow()
        let later = LoopTimer(on: loop) { fired.append("later") }
        let earlier = LoopTimer(on: loop) { fired.append("earlier") }
        let cancelled = LoopTimer(on: loop) { fired.append("cancelled") }
        let revived = LoopTimer(on: loop) { fired.append("revived") }
        let last = LoopTimer(on: loop) { loop.stop() }
        later.schedule(at: start + 100_000)
        earlier.schedule(at: start + 1_000_000_000)
        cancelled.schedule(at: start + 200_000)
        revived.schedule(at: start + 50_000)
        later.schedule(at: start + 900_000)
        earlier.schedule(at: start + 300_000)
        cancelled.cancel()
        revived.cancel()
        revived.schedule(at: start + 600_000)
        last.schedule(at: start + 1_500_000)
        loop.run()
        #expect(fired == ["earlier", "revived", "later"])
    }

    @Test func aTimerThatNobodyHoldsIsCancelled() throws {
        let loop = try Loop()
        defer { loop.close() }
        var fired = false
        var timer: LoopTimer? = LoopTimer(on: loop) { fired = true }
        timer?.schedule(at: loop.refreshNow() + 100_000)
        timer = nil
        let last = LoopTimer(on: loop) { loop.stop() }
        last.schedule(at: loop.now + 1_000_000)
        loop.run()
        #expect(!fired && timer == nil)
    }

    @Test func manyTimersAgreeWithASortedList() throws {
        let loop = try Loop()
        defer { loop.close() }
        let start = loop.refreshNow()
        var fired: [(UInt64, Int)] = []
        var state = UInt64(42)
        func random(_ below: UInt64) -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (state >> 33) % below
        }
        var deadlines = (0..<200).map { _ in start + 1_000_000 + random(3_000_000) }
        let timers = deadlines.indices.map { index in LoopTimer(on: loop) { fired.append((deadlines[index], index)) } }
        for index in deadlines.indices { timers[index].schedule(at: deadlines[index]) }
        for _ in 0..<300 {
            let index = Int(random(200))
            deadlines[index] = start + 1_000_000 + random(3_000_000)
            timers[index].schedule(at: deadlines[index])
        }
        run(loop) { fired.count == 200 }
        #expect(fired.map(\.0) == deadlines.sorted())
    }

    @Test func aTimerSetForThePastByItselfDoesNotKeepTheTurn() throws {
        let loop = try Loop()
        defer { loop.close() }
        var turns = 0
        var firedInTurn: [Int] = []
        var timer: LoopTimer?
        timer = LoopTimer(on: loop) {
            firedInTurn.append(turns)
            if firedInTurn.count < 3 { timer?.schedule(at: 0) }
        }
        timer?.schedule(at: 0)
        loop.addAtTurnEnd { turns += 1 }
        run(loop) { firedInTurn.count == 3 }
        #expect(Set(firedInTurn).count == 3)
        timer?.close()
    }

    @Test func theTurnEndHookRunsAfterEventsAndTimers() throws {
        let loop = try Loop()
        defer { loop.close() }
        var order: [String] = []
        let mailbox = try Mailbox<Int>(on: loop) { _ in order.append("event") }
        let timer = LoopTimer(on: loop) { order.append("timer") }
        timer.schedule(at: loop.refreshNow() + 1)
        mailbox.sender.send(1)
        loop.addAtTurnEnd { order.append("end") }
        loop.runOnce()
        #expect(order.last == "end")
        #expect(order.contains("event") && order.contains("timer"))
        #expect(order.filter { $0 == "end" }.count >= 1)
    }

    @Test func turnEndsAddUpInTheirOrder() throws {
        let loop = try Loop()
        defer { loop.close() }
        var order: [Int] = []
        for number in 1...3 { loop.addAtTurnEnd { order.append(number) } }
        loop.runOnce()
        #expect(order.starts(with: [1, 2, 3]))
    }

    @Test func wakeKeepsTheLoopFromWaiting() throws {
        let loop = try Loop()
        defer { loop.close() }
        var turns = 0
        // Only `wake` ends the loop's waiting.
        loop.addAtTurnEnd {
            turns += 1
            if turns < 5 { loop.wake() } else { loop.stop() }
        }
        loop.run()
        #expect(turns >= 5)
    }

    @Test func closingClosesEverything() throws {
        let loop = try Loop()
        let socket = try DatagramSocket(on: loop, bindTo: .loopbackIPv4(port: 0), receiver: nil)
        let listener = try StreamListener.tcp(on: loop, address: .loopbackIPv4(port: 0)) { _ in }
        let mailbox = try Mailbox<Int>(on: loop) { _ in }
        loop.close()
        loop.close()
        #expect(socket.isClosed && loop.isClosed)
        #expect(listener.localAddress == nil)
        #expect(!mailbox.sender.send(1))
    }

    @Test("R5: the loops of sixteen workers together leave the reserve of descriptors, though they seldom ask for it")
    func reserve() throws {
        let loops = try (0..<16).map { _ in try Loop() }
        defer { for loop in loops { loop.close() } }
        var limit = rlimit()
        try #require(unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
        let lowest = fcntl(0, F_DUPFD_CLOEXEC, 0)
        try #require(lowest >= 0)
        Glibc.close(lowest)
        let spare = min(600, (Int(clamping: limit.rlim_cur) - Int(lowest)) / 2)
        try #require(spare > 100)
        for loop in loops { loop.reservedDescriptors = Int(clamping: limit.rlim_cur) - Int(lowest) - spare }
        var opened: [Int32] = []
        defer { for descriptor in opened { Glibc.close(descriptor) } }
        var asking = loops
        while !asking.isEmpty, opened.count < 2 * spare {
            asking.removeAll { loop in
                guard loop.hasDescriptorsToSpare else { return true }
                opened.append(fcntl(0, F_DUPFD_CLOEXEC, 0))
                return false
            }
        }
        // Other tests open and close some at the same time.
        #expect(opened.count <= spare + 50 && opened.count > spare / 2)
        #expect(loops.allSatisfy { $0.descriptorShortages > 0 })
    }
}
