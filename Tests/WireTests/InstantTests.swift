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
}
