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

    @Test("S9: a node is named by the first letters of its id too")
    func s9NodesHaveShortForms() throws {
        let id = NodeID(Bytes32())
        let text = id.description
        for form in [text, String(text.prefix(4)), "\(text.prefix(8))…snode", String(text.prefix(52))] {
            #expect(id.hasShortForm(form), "\(form)")
        }
        for form in ["", "y", "yyy", "…snode", "yyyb", "\(text)x", "\(text.prefix(7))b…snode"] {
            #expect(!id.hasShortForm(form), "\(form)")
        }
    }

    @Test("S8: example addresses are known as such")
    func s8ExamplesAreNoPublicAddresses() throws {
        for text in ["192.0.2.33", "198.51.100.7", "203.0.113.9", "2001:db8::7"] {
            let address = try #require(IPAddress(text))
            #expect(address.isDocumentation && !address.isPublic)
        }
        for text in ["10.0.0.1", "8.8.8.8", "2001:db9::7", "203.0.112.1"] {
            #expect(try #require(IPAddress(text)).isDocumentation == false)
        }
    }
}
