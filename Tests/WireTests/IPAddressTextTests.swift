import Testing
import Wire

@Suite struct IPAddressTextTests {
    @Test(arguments: [
        ("1.2.3.4", "1.2.3.4"), ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"),
        ("::", "::"), ("::1", "::1"), ("1::", "1::"), ("0:0:0:0:0:0:0:0", "::"),
        ("2001:DB8::A", "2001:db8::a"), ("2001:0db8:0000::0001", "2001:db8::1"),
        // RFC 5952, section 4: a single zero group is not shortened; the longest run is, and of equal runs the first.
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"), ("2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"), ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
        ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"), ("0:0:3:4:5:6:7:8", "::3:4:5:6:7:8"),
        ("1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"), ("fe80::1:0", "fe80::1:0"),
        // An embedded quad; the mapped form is the IPv4 address.
        ("::ffff:1.2.3.4", "1.2.3.4"), ("::ffff:102:304", "1.2.3.4"), ("64:ff9b::1.2.3.4", "64:ff9b::102:304"),
        ("::1.2.3.4", "::102:304"), ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
        ("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ])
    func readsAndWrites(text: String, plain: String) throws {
        let address = try #require(IPAddress(text))
        #expect(address.description == plain)
        #expect(IPAddress(plain) == address)
    }

    @Test(arguments: [
        "", ".", ":", ":::", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "256.1.1.1", "01.2.3.4",
        "1.2.3.04",
        "00.0.0.0", "+1.2.3.4", "1.2.3.-4", "0x1.2.3.4", " 1.2.3.4", "1.2.3.4 ", "1.2.3.4\0",
        "1.2.3.999999999999999999999",
        "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "1::2::3", "1:::2",
        ":1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:", "12345::", "g::", "::1%eth0", "fe80::1%1", "[::1]", "::1/64", "1.2.3.4::", "::1.2.3.4:5",
        "::1.2.3", "::01.2.3.4", "1:2:3:4:5:6:7:1.2.3.4", "١.2.3.4", "::ffff:1.2.3.4.5",
        "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555",
    ])
    func refuses(text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test func everyAddressSurvivesItsText() throws {
        var state: UInt64 = 0x5eed
        for round in 0..<2_000 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            // Clear groups at random, for the runs of zeros.
            var high = state ^ state >> 29
            var low = state &* 0x9e37_79b9_7f4a_7c15
            for group in 0..<4 {
                if state >> UInt64(group) & 1 == 0 { high &= ~(0xffff << UInt64(16 * group)) }
                if state >> UInt64(group + 8) & 1 == 0 { low &= ~(0xffff << UInt64(16 * group)) }
            }
            let address =
                round % 5 == 0 ? IPAddress(v4: UInt32(truncatingIfNeeded: low)) : IPAddress(high: high, low: low)
            #expect(IPAddress(address.description) == address)
            let endpoint = Endpoint(address: address, port: UInt16(truncatingIfNeeded: state >> 40))
            #expect(Endpoint(endpoint.description) == endpoint)
            let length = round % (address.v4 == nil ? 129 : 33)
            let range = try #require(CIDR(address, prefixLength: length))
            #expect(CIDR(range.description) == range)
            #expect(range.contains(address))
        }
    }

    @Test(arguments: [
        ("1.2.3.4:80", "1.2.3.4", 80), ("[::1]:80", "::1", 80), ("0.0.0.0:0", "0.0.0.0", 0),
        ("[2001:db8::1]:65535", "2001:db8::1", 65_535),
    ])
    func readsEndpoints(text: String, address: String, port: UInt16) throws {
        let endpoint = try #require(Endpoint(text))
        #expect(endpoint == Endpoint(address: try #require(IPAddress(address)), port: port))
        #expect(endpoint.description == text)
    }

    @Test(arguments: [
        "", ":", "1.2.3.4", "1.2.3.4:", ":80", "::1:80", "[::1]", "[::1]:", "[::1]80", "[1.2.3.4]:80", "[]:80",
        "[::1:80",
        "::1]:80", "1.2.3.4:65536", "1.2.3.4:080", "1.2.3.4:+80", "1.2.3.4:-1", "1.2.3.4:80 ", "a.example:80",
        "1.2.3.4:80:80",
    ])
    func refusesEndpoints(text: String) {
        #expect(Endpoint(text) == nil)
    }
}
