import SeededRandom
import Testing
import Wire

/// The obvious version: a set of all committed counters.
private struct SetModel {
    var seen: Set<UInt64> = []
    var highest: UInt64 = 0

    func check(_ counter: UInt64) -> Bool {
        if counter > highest { return true }
        return highest - counter < 8128 && !seen.contains(counter)
    }

    mutating func commit(_ counter: UInt64) {
        seen.insert(counter)
        highest = max(highest, counter)
    }
}

@Suite struct ReplayWindowTests {
    @Test(arguments: 0..<24 as Range<UInt64>) func agreesWithASetOfAllCounters(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var window = ReplayWindow()
        var model = SetModel()
        // Starts near zero, near a multiple of the ring, and high up.
        var cursor: UInt64 = [0, 1, 63, 8_191, 1 << 46, UInt64.max - 200_000][Int(seed % 6)]
        for step in 0..<20_000 {
            let counter: UInt64
            switch random.next() % 100 {
            case 0..<50: counter = cursor &+ 1
            case 50..<70: counter = cursor &+ random.next() % 70
            case 70..<90: counter = cursor - min(cursor, random.next() % 300)
            case 90..<97: counter = cursor - min(cursor, 8_000 + random.next() % 300)
            case 97..<99: counter = cursor &+ random.next() % 200
            default: counter = seed % 6 == 5 ? cursor : cursor &+ random.next() % 20_000
            }
            #expect(window.check(counter) == model.check(counter), "seed \(seed) step \(step) counter \(counter)")
            if !model.check(counter) {
                #expect(window.commit(counter) == false && window.commitNext(counter) == false)
            } else if random.next() % 4 != 0 {
                let highest = window.highest
                if random.next() % 2 == 0, window.commitNext(counter) {
                    #expect(counter > highest && counter >> 6 == highest >> 6)
                } else {
                    #expect(window.commit(counter) == true)
                }
                model.commit(counter)
                cursor = max(cursor, counter)
            }
            #expect(window.highest == model.highest)
            if seed % 6 == 5, cursor > UInt64.max - 1_000 { break }
        }
    }

    @Test func acceptsExactly8128CountersBack() {
        var window = ReplayWindow()
        for top in [UInt64(8_127), 8_128, 8_191, 8_192, 100_031, 1 << 40] {
            window.commit(top)
            #expect(window.check(top - 8_127) == true)
            if top >= 8_128 { #expect(window.check(top - 8_128) == false) }
        }
    }

    @Test func theHighestCounterOfAllIsAcceptedOnce() {
        var window = ReplayWindow()
        #expect(window.check(.max) == true)
        window.commit(.max)
        #expect(window.check(.max) == false)
        #expect(window.check(.max - 1) == true)
        #expect(window.check(0) == false)
    }

    @Test func zeroIsAcceptedOnce() {
        var window = ReplayWindow()
        #expect(window.check(0) == true)
        window.commit(0)
        #expect(window.check(0) == false)
    }

    @Test func checkingMovesNothing() {
        var window = ReplayWindow()
        window.commit(5)
        #expect(window.check(1 << 50) == true)
        #expect(window.check(6) == true)
        #expect(window.check(4) == true)
        #expect(window.check(5) == false)
        #expect(window.highest == 5)
    }

    @Test func aCommitBehindTheWindowIsLeftOut() {
        var window = ReplayWindow()
        window.commit(20_000)
        // 20_001 - 8_192 has the same bit in the ring as 20_001, so a refused commit must not set it.
        window.commit(20_001 - 8_192)
        #expect(window.check(20_001) == true)
        window.commit(20_064)
        #expect(window.check(20_001) == true)
    }
}
