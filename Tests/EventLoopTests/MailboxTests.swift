import Glibc
import Synchronization
import Testing
import ThreadTesting

@testable import EventLoop

/// A message with its source.
private struct Letter: Equatable, Sendable {
    var source: Int
    var number: Int
}

@Suite struct MailboxTests {
    @Test func messagesFromOtherThreadsArriveInOrder() throws {
        let loop = try Loop()
        defer { loop.close() }
        var received: [Int] = []
        let mailbox = try Mailbox<Int>(on: loop) { received.append($0) }
        let sender = mailbox.sender
        let refused = Atomic(0)
        let thread = TestThread {
            for number in 0..<10_000 where !sender.send(number) { refused.add(1, ordering: .relaxed) }
        }
        run(loop) { received.count == 10_000 }
        thread.join()
        #expect(received == Array(0..<10_000))
        #expect(refused.load(ordering: .relaxed) == 0)
    }

    @Test func aFullOrClosedMailboxRefuses() throws {
        let loop = try Loop()
        defer { loop.close() }
        var received: [Int] = []
        let mailbox = try Mailbox<Int>(on: loop, capacity: 2) { received.append($0) }
        #expect(mailbox.sender.send(1) && mailbox.sender.send(2) && !mailbox.sender.send(3))
        run(loop) { received.count == 2 }
        #expect(mailbox.sender.send(4) && !mailbox.sender.isClosed)
        #expect(mailbox.close() == [4])
        #expect(!mailbox.sender.send(5) && mailbox.sender.isClosed)
        loop.runOnce()
        #expect(received == [1, 2])
        #expect(mailbox.close().isEmpty)
    }

    @Test func aSourceThatFloodsFillsItsLaneAlone() throws {
        let loop = try Loop()
        defer { loop.close() }
        var received: [Letter] = []
        let mailbox = try Mailbox<Letter>(on: loop, sources: 3, capacity: 4) { received.append($0) }
        for number in 0..<100 {
            #expect(mailbox.sender(of: 1).send(Letter(source: 1, number: number)) == (number < 4))
        }
        #expect(mailbox.sender(of: 0).send(Letter(source: 0, number: 0)))
        #expect(mailbox.sender(of: 2).send(Letter(source: 2, number: 0)))
        run(loop) { received.count == 6 }
        for source in 0..<3 {
            let numbers = received.filter { $0.source == source }.map(\.number)
            #expect(numbers == Array(0..<(source == 1 ? 4 : 1)))
        }
    }

    @Test func messagesThatMayBeLostLeaveRoomForOthers() throws {
        let loop = try Loop()
        defer { loop.close() }
        var received: [Int] = []
        let mailbox = try Mailbox<Int>(on: loop, capacity: 6) { received.append($0) }
        for number in 0..<6 { #expect(mailbox.sender.send(number, reserve: 2) == (number < 4)) }
        for number in 10..<13 { #expect(mailbox.sender.send(number) == (number < 12)) }
        run(loop) { received.count == 6 }
        #expect(received == [0, 1, 2, 3, 10, 11])
    }

    @Test func theLanesOfThreadsKeepTheirOrderAndBound() throws {
        let loop = try Loop()
        defer { loop.close() }
        let (sources, count) = (3, 3_000)
        var next = [Int](repeating: 0, count: sources)
        var isInOrder = true
        let mailbox = try Mailbox<Letter>(on: loop, sources: sources, capacity: 16) { letter in
            isInOrder = isInOrder && next[letter.source] == letter.number
            next[letter.source] += 1
        }
        let threads = (0..<sources).map { source in
            let sender = mailbox.sender(of: source)
            return TestThread {
                for number in 0..<count {
                    while !sender.send(Letter(source: source, number: number)) { sched_yield() }
                }
            }
        }
        run(loop) { next.allSatisfy { $0 == count } }
        for thread in threads { thread.join() }
        #expect(isInOrder)
    }

    @Test func aReceiverMaySendToItself() throws {
        let loop = try Loop()
        defer { loop.close() }
        var received: [Int] = []
        var own: Mailbox<Int>.Sender?
        let mailbox = try Mailbox<Int>(on: loop) { number in
            received.append(number)
            if number < 5 { own?.send(number + 1) }
        }
        own = mailbox.sender
        mailbox.sender.send(0)
        run(loop) { received.count == 6 }
        #expect(received == Array(0...5))
    }

    @Test func twoLoopsOnTwoThreadsAnswerEachOther() throws {
        let loop = try Loop()
        defer { loop.close() }
        let rounds = 2_000
        // The sender to the other worker's mailbox, once that worker runs.
        let other = Mutex<Mailbox<Int>.Sender?>(nil)
        var received = 0
        let mailbox = try Mailbox<Int>(on: loop) { number in
            received = number
            if number < rounds { _ = other.withLock { $0?.send(number + 1) } }
        }
        let answers = mailbox.sender
        let thread = TestThread {
            guard let loop = try? Loop() else { return }
            let worker = try? Mailbox<Int>(on: loop) { number in
                answers.send(number)
                if number == rounds { loop.stop() }
            }
            other.withLock { $0 = worker?.sender }
            answers.send(0)
            loop.run()
            loop.close()
        }
        run(loop) { received == rounds }
        thread.join()
        #expect(received == rounds)
    }

    @Test("R1: a turn of the loop delivers a part of each lane, so that others have their turns")
    func r1_partOfALane() throws {
        let world = SimulatedWorld(seed: 3)
        let host = world.addHost(at: [SocketAddress(ipv4: 0x0a00_0001, port: 0)])
        for loop in [try Loop(), Loop(simulated: host)] {
            defer { loop.close() }
            var (received, firsts, turns): ([Letter], [Int], Int) = ([], [], 0)
            let mailbox = try Mailbox<Letter>(on: loop, sources: 2, inTurn: 10) { letter in
                if letter.number % 10 == 0 { firsts.append(turns) }
                received.append(letter)
            }
            loop.addAtTurnEnd { turns += 1 }
            for number in 0..<95 { mailbox.sender(of: 0).send(Letter(source: 0, number: number)) }
            mailbox.sender(of: 1).send(Letter(source: 1, number: 1))
            #expect(mailbox.sender(of: 0).waitingCount == 95 && mailbox.sender(of: 1).waitingCount == 1)
            run(loop) { received.count == 96 }
            #expect(received.filter { $0.source == 0 }.map(\.number) == Array(0..<95))
            #expect(Set(firsts).count == 10, "each part in a turn of its own")
            #expect((received.firstIndex { $0.source == 1 } ?? 99) <= 20)
        }
    }

    @Test func closingInABatchLeavesTheRest() throws {
        let loop = try Loop()
        defer { loop.close() }
        var received: [Int] = []
        var left: [Int] = []
        var box: Mailbox<Int>?
        let mailbox = try Mailbox<Int>(on: loop, sources: 2) { number in
            received.append(number)
            if number == 2 { left = box?.close() ?? [] }
        }
        box = mailbox
        for number in 1...4 { mailbox.sender.send(number) }
        mailbox.sender(of: 1).send(9)
        run(loop) { !left.isEmpty }
        loop.runOnce()
        #expect(received == [1, 2] && left == [3, 4, 9])
    }

    @Test func closingTheLoopClosesItsMailboxes() throws {
        let world = SimulatedWorld(seed: 1)
        let host = world.addHost(at: [SocketAddress(ipv4: 0x0a00_0001, port: 0)])
        for loop in [try Loop(), Loop(simulated: host)] {
            var received = 0
            let mailbox = try Mailbox<Int>(on: loop) { received += $0 }
            let sender = mailbox.sender
            sender.send(1)
            loop.close()
            #expect(!sender.send(2))
            #expect(received == 0)
        }
        #expect(host.openCount == 0)
    }

    // MARK: Simulated

    /// The order in which letters of three sources arrive.
    private func order(seed: UInt64) throws -> [Letter] {
        let world = SimulatedWorld(seed: seed)
        let loop = Loop(simulated: world.addHost(at: [SocketAddress(ipv4: 0x0a00_0001, port: 0)]))
        defer { loop.close() }
        var received: [Letter] = []
        let mailbox = try Mailbox<Letter>(on: loop, sources: 3, capacity: 64) { received.append($0) }
        for round in 0..<8 {
            world.after(UInt64(round) * 20_000) {
                for source in 0..<3 {
                    for part in 0..<2 {
                        mailbox.sender(of: source).send(Letter(source: source, number: 2 * round + part))
                    }
                }
            }
        }
        world.run(for: 1_000_000)
        return received
    }

    @Test func aSeedDecidesTheOrderOfSources() throws {
        var orders: Set<[Int]> = []
        for seed in UInt64(1)...20 {
            let received = try order(seed: seed)
            #expect(try order(seed: seed) == received)
            for source in 0..<3 {
                #expect(received.filter { $0.source == source }.map(\.number) == Array(0..<16), "seed \(seed)")
            }
            orders.insert(received.map(\.source))
        }
        #expect(orders.count > 10)
    }

    @Test func aSimulatedLaneThatIsFullRefuses() throws {
        let world = SimulatedWorld(seed: 1)
        let loop = Loop(simulated: world.addHost(at: [SocketAddress(ipv4: 0x0a00_0001, port: 0)]))
        defer { loop.close() }
        var received: [Int] = []
        let mailbox = try Mailbox<Int>(on: loop, capacity: 2) { received.append($0) }
        #expect(mailbox.sender.send(1) && mailbox.sender.send(2) && !mailbox.sender.send(3))
        world.run(for: 100_000)
        #expect(mailbox.sender.send(4))
        world.run(for: 100_000)
        #expect(received == [1, 2, 4])
    }
}
