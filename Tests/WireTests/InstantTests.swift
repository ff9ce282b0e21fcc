import Testing
import Wire

/// Times that a peer, a file or a daemon may name.
struct InstantTests {
    @Test func s08_lengthsOfTimeSaturate() {
        let longest = TimeSpan(nanoseconds: .max)
        let shortest = TimeSpan(nanoseconds: .min)
        #expect(TimeSpan.seconds(.max) == longest)
        #expect(TimeSpan.seconds(-253_402_300_800) == shortest)
        #expect(TimeSpan.milliseconds(.min) == shortest)
        #expect(TimeSpan.microseconds(.max) == longest)
        #expect(longest + .seconds(1) == longest)
        #expect(shortest - .seconds(1) == shortest)
        #expect(longest - shortest == longest)
        #expect(shortest * -1 == longest)
        #expect(longest * -2 == shortest)
    }

    @Test func s08_momentsSaturate() {
        let first = Instant(nanoseconds: 0)
        let last = Instant(nanoseconds: .max)
        #expect(last + .seconds(1) == last)
        #expect(first + .seconds(-1) == first)
        #expect(last - first == TimeSpan(nanoseconds: .max))
        #expect(first - last == TimeSpan(nanoseconds: .min))
        #expect(last - (last + .seconds(-5)) == .seconds(5))
    }

    @Test(arguments: [
        (0, "1970-01-01 00:00 UTC"), (951_782_399, "2000-02-28 23:59 UTC"), (951_782_400, "2000-02-29 00:00 UTC"),
        (1_764_314_460, "2025-11-28 07:21 UTC"), (4_107_542_400, "2100-03-01 00:00 UTC"),
        (253_402_300_799, "9999-12-31 23:59 UTC"),
    ])
    func datesAreWritten(_ seconds: UInt64, _ text: String) { #expect(UnixTime(seconds: seconds).dateText == text) }
}
