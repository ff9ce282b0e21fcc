import Testing
import Wire

@Suite struct TimePeriodTests {
    @Test(
        arguments: [
            (0, 43_200, 0), (43_199, 43_200, 0), (43_200, 43_200, 1), (1_800_000_000, 43_200, 41_666),
            (1_800_000_000, 1, 1_800_000_000), (7, 0, 7), (.max, 1, .max), (.max, 43_200, .max), (.max, .max, .max),
        ] as [(UInt64, UInt32, UInt32)])
    func ofASnapshot(time: UInt64, seconds: UInt32, number: UInt32) {
        #expect(TimePeriod(of: UnixTime(seconds: time), seconds: seconds).number == number)
    }

    /// Two that are one period apart have one in common.
    @Test func theOneBeforeCountsToo() {
        #expect(TimePeriod(number: 0).withPrevious == [TimePeriod(number: 0)])
        for number in [1, 2, 41_666, UInt32.max] {
            let pair = TimePeriod(number: number).withPrevious
            #expect(pair == [TimePeriod(number: number), TimePeriod(number: number - 1)])
            #expect(!Set(pair).isDisjoint(with: TimePeriod(number: number - 1).withPrevious))
            #expect(pair[1] < pair[0])
        }
    }
}
