import Testing
import Wire

@testable import Client

/// How long a session goes on without a leg.
@Suite struct LeglessTimeTests {
    private func at(_ seconds: Double) -> Instant { Instant(nanoseconds: UInt64(seconds * 1e9)) }

    private func begun() -> LeglessTime {
        var time = LeglessTime()
        time.began(wasAnswered: true, at: at(0))
        return time
    }

    @Test("without news it is over after 6 s, and with a leg never")
    func limit() {
        var time = begun()
        #expect(!time.isOver(at: at(6)))
        #expect(time.isOver(at: at(6.1)))
        time.ended()
        #expect(!time.isOver(at: at(100)))
    }

    @Test("builds that fail at other hops prolong it, up to 60 s")
    func others() {
        var time = begun()
        for second in 1...70 {
            #expect(time.isOver(at: at(Double(second))) == (second > 60))
            time.othersFailed(at: at(Double(second)))
        }
    }

    @Test("R7: once the exit was named no other hop's failure prolongs it")
    func exitNamed() {
        var time = begun()
        time.exitFailed()
        for second in 1...5 { time.othersFailed(at: at(Double(second))) }
        #expect(!time.isOver(at: at(6)))
        #expect(time.isOver(at: at(6.1)))
    }

    @Test("two failures in a row at the exit end it, also those of legs that it never answered")
    func exitFails() {
        var time = begun()
        time.exitFailed()
        #expect(!time.isOver(at: at(1)))
        time.exitFailed()
        #expect(time.isOver(at: at(1)))
        var joined = begun()
        joined.exitFailed()
        joined.ended()
        joined.began(wasAnswered: false, at: at(2))
        #expect(joined.isOver(at: at(2)))
        var answered = begun()
        answered.exitFailed()
        answered.ended()
        answered.answered()
        answered.began(wasAnswered: false, at: at(2))
        #expect(!answered.isOver(at: at(2)))
    }
}
