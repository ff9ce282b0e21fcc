import Testing

@testable import Relay

/// Whose turn it is where only some of those that wait may go on.
@Suite struct TurnLineTests {
    private final class Waiter {
        let number: Int
        init(_ number: Int) { self.number = number }
    }

    @Test("R5: as many of those that wait are released as packets may be sent, in turn")
    func turns() {
        var line = TurnLine<Waiter>()
        let waiters = (0..<1_000).map(Waiter.init)
        for waiter in waiters { line.add(waiter, hadTurn: false) }
        var turns = [Int](repeating: 0, count: 1_000)
        var released = 0
        // Of eight that are released four get a turn; each wants to go on.
        for _ in 0..<1_000 {
            let found = line.release(8)
            #expect(found.count == 8)
            released += found.count
            for waiter in found.prefix(4) { turns[waiter.number] += 1 }
            for (place, waiter) in found.enumerated() { line.add(waiter, hadTurn: place < 4) }
        }
        #expect(released == 8_000 && line.count == 1_000)
        #expect(turns.allSatisfy { $0 == 4 })
    }

    @Test func thoseWithATurnComeLast() {
        var line = TurnLine<Waiter>()
        let waiters = (0..<6).map(Waiter.init)
        for waiter in waiters[..<4] { line.add(waiter, hadTurn: false) }
        #expect(line.release(2).map(\.number) == [0, 1])
        // One had a turn and one had none; two are new, one of them between packets of its own.
        line.add(waiters[0], hadTurn: true)
        line.add(waiters[4], hadTurn: false)
        line.add(waiters[1], hadTurn: false)
        line.add(waiters[5], hadTurn: true)
        #expect(line.count == 6)
        #expect(line.release(.max).map(\.number) == [1, 2, 3, 4, 0, 5])
        #expect(line.count == 0 && line.release(.max).isEmpty)
    }
}
