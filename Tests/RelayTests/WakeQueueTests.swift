import Testing

@testable import Relay

/// Whose turn it is where only some of those that wait may go on.
@Suite struct WakeQueueTests {
    private final class Waiter {
        let number: Int
        init(_ number: Int) { self.number = number }
    }

    @Test("R5: as many of those that wait are released as packets may be sent, in turn")
    func turns() {
        var queue = WakeQueue<Waiter>()
        let waiters = (0..<1_000).map(Waiter.init)
        for waiter in waiters { queue.add(waiter, hadTurn: false) }
        var turns = [Int](repeating: 0, count: 1_000)
        var released = 0
        // Of eight that are released four get a turn; each wants to go on.
        for _ in 0..<1_000 {
            let found = queue.release(8)
            #expect(found.count == 8)
            released += found.count
            for waiter in found.prefix(4) { turns[waiter.number] += 1 }
            for (place, waiter) in found.enumerated() { queue.add(waiter, hadTurn: place < 4) }
        }
        #expect(released == 8_000 && queue.count == 1_000)
        #expect(turns.allSatisfy { $0 == 4 })
    }

    @Test func thoseWithATurnComeLast() {
        var queue = WakeQueue<Waiter>()
        let waiters = (0..<6).map(Waiter.init)
        for waiter in waiters[..<4] { queue.add(waiter, hadTurn: false) }
        #expect(queue.release(2).map(\.number) == [0, 1])
        // One had a turn and one had none; two are new, one of them between packets of its own.
        queue.add(waiters[0], hadTurn: true)
        queue.add(waiters[4], hadTurn: false)
        queue.add(waiters[1], hadTurn: false)
        queue.add(waiters[5], hadTurn: true)
        #expect(queue.count == 6)
        #expect(queue.release(.max).map(\.number) == [1, 2, 3, 4, 0, 5])
        #expect(queue.count == 0 && queue.release(.max).isEmpty)
    }
}
