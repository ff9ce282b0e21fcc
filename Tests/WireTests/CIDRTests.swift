import Testing
import Wire

@Suite struct CIDRTests {
    @Test(arguments: [
        ("10.0.0.0/8", "10.255.255.255", true), ("10.0.0.0/8", "11.0.0.0", false),
        ("10.0.0.0/8", "9.255.255.255", false),
        ("10.1.2.3/8", "10.9.9.9", true), ("0.0.0.0/0", "255.1.2.3", true), ("1.2.3.4/32", "1.2.3.4", true),
        ("1.2.3.4/32", "1.2.3.5", false), ("1.2.3.4", "1.2.3.4", true), ("1.2.3.4", "1.2.3.5", false),
        ("fc00::/7", "fdff::1", true), ("fc00::/7", "fe00::", false), ("::/0", "2001::1", true), ("::1", "::1", true),
        ("2001:db8::/64", "2001:db8:0:0:ffff::", true), ("2001:db8::/64", "2001:db8:0:1::", false),
        ("2001:db8::/65", "2001:db8::8000:0:0:0", false), ("2001:db8::1/128", "2001:db8::1", true),
        ("2001:db8::1/128", "2001:db8::", false), ("2001:db8::1/127", "2001:db8::", true),
        // A range contains only addresses of its own family.
        ("::/0", "1.2.3.4", false), ("0.0.0.0/0", "::1", false), ("::/80", "1.2.3.4", false),
    ])
    func contains(range: String, address: String, expected: Bool) throws {
        let range = try #require(CIDR(range))
        #expect(range.contains(try #require(IPAddress(address))) == expected)
    }

    @Test(arguments: [
        "", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0.0/8/8", "10.0.0/8", "::/129",
        "::/1 ",
        "a.example/8", "[::1]/8",
    ])
    func refuses(text: String) {
        #expect(CIDR(text) == nil)
    }

    @Test func clearsFurtherBits() {
        #expect(CIDR("10.1.2.3/8")?.description == "10.0.0.0/8")
        #expect(CIDR("2001:db8:ffff::1/33")?.description == "2001:db8:8000::/33")
        #expect(CIDR("1.2.3.4/0")?.description == "0.0.0.0/0")
        #expect(CIDR(IPAddress(v4: 1), prefixLength: 33) == nil)
        #expect(CIDR(IPAddress(high: 1, low: 1), prefixLength: 129) == nil)
    }
}
