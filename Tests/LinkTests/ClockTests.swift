import Link
import SeededRandom
import Testing
import Wire

/// The own clock against the times that nodes report.
@Suite struct ClockTests {
    let start = Instant(nanoseconds: 50_000_000_000)
    let own = UnixTime(seconds: 1_700_000_000)
    static let day: Int64 = 86_400

    private func source(_ number: Int) -> Bytes32 {
        Bytes32(copying: ([UInt8](repeating: 0, count: 31) + [UInt8(number)]).rawSpan)
    }

    private func off(_ seconds: Int64) -> UnixTime { UnixTime(seconds: UInt64(1_700_000_000 + seconds)) }

    /// An estimate that has been told of these errors of the own clock, each by another operator.
    private func heard(_ errors: [Int64], operators: Int = 100) -> ClockEstimate {
        var clock = ClockEstimate()
        clock.operators = operators
        for (number, error) in errors.enumerated() { clock.add(off(error), from: source(number), own: own, at: start) }
        return clock
    }

    @Test("s06: fewer than three operators never move the clock, whatever they say")
    func oneLiarsClock() {
        for error in [-60, -1, 1, 61] {
            let time = Int64(error) * Self.day
            #expect(heard([time]).time(own: own, at: start) == own)
            #expect(heard([time, time]).time(own: own, at: start) == own)
            #expect(heard([time]).isDisputed(own: own, at: start))
        }
        // One operator has one opinion, however many nodes it has and however often they say it.
        var clock = ClockEstimate()
        for _ in 0..<20 { clock.add(off(7_200), from: source(1), own: own, at: start) }
        #expect(clock.time(own: own, at: start) == own && clock.sources == 1)
    }

    @Test("s06: three operators that agree within a minute move it, by a day at most")
    func threeAgree() {
        #expect(heard([7_200, 7_230, 7_260]).time(own: own, at: start) == off(7_230))
        #expect(heard([-7_200, -7_230, -7_260]).time(own: own, at: start) == off(-7_230))
        #expect(heard([7_200, 7_230, 7_261]).time(own: own, at: start) == own)
        #expect(heard([2 * Self.day, 2 * Self.day, 2 * Self.day]).time(own: own, at: start) == own)
    }

    @Test("s06: five move it by months, and all operators of a small network do, by a year at most")
    func monthsOff() {
        let months = 61 * Self.day
        #expect(heard([months, months, months, months]).time(own: own, at: start) == own)
        #expect(heard([months, months, months, months, months]).time(own: own, at: start) == off(months))
        #expect(heard([months, months, months], operators: 3).time(own: own, at: start) == off(months))
        #expect(heard([months, months], operators: 2).time(own: own, at: start) == own)
        let years = heard([Int64](repeating: 400 * Self.day, count: 7))
        #expect(years.time(own: own, at: start) == own && years.sources == 0 && years.refusals == 7)
        #expect(years.isDisputed(own: own, at: start))
    }

    @Test("s06: who has moved the clock by a year does not have honest opinions refused")
    func movedByAYear() {
        let lie = 366 * Self.day
        var clock = heard([lie, lie, lie, lie, lie])
        #expect(clock.time(own: own, at: start) == off(lie))
        for number in 10..<17 { clock.add(off(-5), from: source(number), own: own, at: start) }
        #expect(clock.refusals == 0 && clock.time(own: own, at: start) == own)
    }

    @Test("s06: the own clock is one of the sources: liars need more than all others and it")
    func ownClockHasAVoice() {
        let lie: Int64 = 7_200
        #expect(heard([0, 0, lie, lie, lie]).time(own: own, at: start) == own)
        #expect(heard([lie, lie, lie, 0, 0, 0]).time(own: own, at: start) == own)
        #expect(heard([lie, lie, lie, 0]).time(own: own, at: start) == off(lie))
        // Three operators moved the clock; more honest ones move it back.
        #expect(heard([lie, lie, lie, 0, 0, 0, 0]).time(own: own, at: start) == own)
        // A clock that is a little wrong is left alone.
        #expect(heard([299, 290, 280]).time(own: own, at: start) == own)
        #expect(!heard([299, 290, 280]).isDisputed(own: own, at: start))
    }

    @Test("K11: what was agreed holds when the own clock jumps, and while the machine sleeps")
    func jumps() {
        let clock = heard([10, 0, -10])
        let later = start + .seconds(36_000)
        for jump in [Self.day, -Self.day, 3_650 * Self.day, 3_600] {
            #expect(clock.time(own: off(36_000 + jump), at: later) == off(36_000))
        }
        #expect(clock.time(own: off(36_020), at: later) == off(36_020))
        // A new opinion is compared with the agreed time, not with the clock that has jumped.
        var more = clock
        more.add(off(36_000), from: source(9), own: off(3_650 * Self.day), at: later)
        #expect(more.sources == 4 && more.time(own: off(3_650 * Self.day), at: later) == off(36_000))
        // Without agreement the own clock is followed wherever it goes.
        #expect(heard([0, 0]).time(own: off(Self.day), at: start) == off(Self.day))
    }

    @Test("s06: no number traps", arguments: 0..<200)
    func anyNumbers(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let edges: [UInt64] = [0, 1, 1_700_000_000, 253_402_300_800, UInt64(Int64.max), .max]
        func number() -> UInt64 {
            let edge = edges.randomElement(using: &generator) ?? 0
            return Bool.random(using: &generator) ? edge : UInt64.random(in: 0...UInt64.max, using: &generator)
        }
        var clock = ClockEstimate()
        for _ in 0..<50 {
            let (own, at) = (UnixTime(seconds: number()), Instant(nanoseconds: number()))
            clock.add(UnixTime(seconds: number()), from: source(Int(number() % 9)), own: own, at: at)
            _ = clock.time(own: own, at: at)
            _ = clock.opinion(at: at)
            _ = clock.isDisputed(own: own, at: at)
        }
        #expect(clock.sources <= ClockEstimate.kept && clock.refusals <= ClockEstimate.kept)
    }
}
