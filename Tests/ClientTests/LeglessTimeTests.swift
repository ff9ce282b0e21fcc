import Testing
import Wire

@testable import Client

/// How long a session lasts without a leg.
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

    @Test("the exit may have forgotten the session until it answers over another leg")
    func doubt() {
        #expect(!LeglessTime().isUnanswered)
        var time = begun()
        #expect(time.isUnanswered)
        time.ended()
        #expect(time.isUnanswered)
        time.began(wasAnswered: false, at: at(1))
        time.ended()
        #expect(time.isUnanswered)
        time.answered()
        #expect(!time.isUnanswered)
    }

    @Test("R7: builds that fail at other hops prolong it, up to 8 s")
    func others() {
        var time = begun()
        for second in 1...20 {
            #expect(time.isOver(at: at(Double(second))) == (second > 8))
            time.othersFailed(at: at(Double(second)))
        }
    }

    @Test("the time in which no guard can be reached does not count, up to 60 s")
    func heldUp() {
        var time = begun()
        for second in 1...20 {
            time.heldUp(at: at(Double(second)))
            #expect(!time.isOver(at: at(Double(second))))
        }
        for second in 21...30 {
            #expect(time.isOver(at: at(Double(second))) == (second > 28))
            time.othersFailed(at: at(Double(second)))
        }
        time = begun()
        for second in 1...70 {
            #expect(time.isOver(at: at(Double(second))) == (second > 60))
            time.heldUp(at: at(Double(second)))
        }
    }

    @Test("R7: a leg that the exit never answered does not begin the wait anew")
    func unansweredLeg() {
        var time = begun()
        time.othersFailed(at: at(5))
        time.ended()
        time.began(wasAnswered: false, at: at(7.5))
        #expect(!time.isOver(at: at(8)))
        #expect(time.isOver(at: at(8.1)))
        time = begun()
        time.ended()
        time.answered()
        time.began(wasAnswered: true, at: at(7.5))
        #expect(!time.isOver(at: at(13.5)))
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
