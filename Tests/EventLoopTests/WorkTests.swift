import EventLoop
import Testing

/// Jobs on other threads than the loop's.
@Suite struct WorkTests {
    @Test func whatAJobReturnsComesBackOnTheLoop() throws {
        let loop = try Loop()
        var results: [Int] = []
        for number in 0..<20 {
            loop.work({ number * number }) {
                loop.assertOnThread()
                results.append($0)
                if results.count == 20 { loop.stop() }
            }
        }
        #expect(results.isEmpty)
        loop.run()
        loop.close()
        #expect(results.sorted() == (0..<20).map { $0 * $0 })
    }

    @Test func aJobKeepsItsLoop() throws {
        var loop: Loop? = try Loop()
        var results: [Int] = []
        loop?.work({ 1 }) { results.append($0) }
        weak let kept = loop
        loop = nil
        do {
            let loop = try #require(kept)
            while results.isEmpty { loop.runOnce(waiting: true) }
            loop.close()
        }
        #expect(results == [1])
        #expect(kept == nil)
    }

    @Test func aClosedLoopCallsBackForNothing() throws {
        let loop = try Loop()
        loop.work({ 1 }) { _ in Issue.record("called back by a closed loop") }
        loop.close()
        loop.work({ 2 }) { _ in Issue.record("called back by a closed loop") }
    }
}
