import Testing

@testable import Wire

@Suite struct ExitRuleTests {
    @Test(arguments: [
        "", "accept", "allow *:*", "accept *:*:*", "accept *:0-70000", "reject *:90-80", "accept 10.0.0.0/33:1",
        "reject x:1", "accept6 10.0.0.0/8:*", "accept *:80 extra", "reject *:-", "reject [::1:80",
        "accept *:+80", "accept *:8-+9", "accept *: 80", "reject 18.0.0.0/255.0.255.0:*", "reject 18.0.0.0/0.0.0.255",
        "reject [::]/255.0.0.0:*", "reject private4:*", "accept *:80, reject *:*",
    ])
    func whatIsNoRuleIsRefused(_ text: String) { #expect(ExitRule(text) == nil) }

    @Test(arguments: [
        ("reject *:6881-6999", "8.8.8.8", UInt16(6881), true), ("reject *:6881-6999", "8.8.8.8", 7000, false),
        ("accept 8.8.8.0/24:443", "8.8.8.8", 443, true), ("accept 8.8.8.0/24:443", "8.8.9.8", 443, false),
        ("reject 8.8.8.8:*", "8.8.8.8", 1, true), ("reject 8.8.8.8", "8.8.8.8", 65535, true),
        ("reject6 *:*", "8.8.8.8", 80, false), ("reject6 *:*", "2001:db8::1", 80, true),
        ("accept [2001:db8::]/32:80", "2001:db8::1", 80, true), ("accept [2001:db8::1]:80", "2001:db8::1", 81, false),
        ("reject *4:80", "2001:db8::1", 80, false), ("REJECT *6:80", "2001:db8::1", 80, true),
        ("reject 2001:db8::/32", "2001:db8::5", 9, true),
        ("reject 18.0.0.0/255.0.0.0:*", "18.9.9.9", 9, true), ("reject 18.0.0.0/255.0.0.0:*", "19.0.0.0", 9, false),
        ("reject 18.1.2.3/255.255.255.255:9", "18.1.2.3", 9, true), ("reject 0.0.0.0/0.0.0.0", "18.1.2.3", 9, true),
        ("reject private:80", "10.1.2.3", 80, true), ("reject private:80", "10.1.2.3", 81, false),
        ("reject private", "172.31.0.1", 1, true), ("reject private", "172.32.0.1", 1, false),
        ("reject private", "8.8.8.8", 1, false), ("reject6 private:*", "192.168.0.1", 1, true),
        ("accept private:*", "fd00::1", 1, true), ("accept private:*", "fe80::1", 1, true),
        ("accept private:*", "::1", 1, true), ("accept private:*", "2001:db8::1", 1, false),
    ])
    func rulesFitAsTheyAreWritten(_ text: String, _ address: String, _ port: UInt16, _ fits: Bool) throws {
        let rule = try #require(ExitRule(text))
        #expect(rule.fits(try #require(IPAddress(address)), port: port) == fits)
    }

    /// E2: one function decides for TCP, UDP and look-ups, whatever the order of ports and ranges.
    @Test func theFirstRuleThatFitsCountsAndNothingOpensWhatIsClosed() throws {
        let lines = [
            "accept 8.8.8.8:443", "reject 8.8.0.0/16:*", "accept *:25", "accept 10.0.0.0/8:*", "reject *:1-79",
        ]
        let policy = ExitPolicy(rules: lines.compactMap { ExitRule($0) })
        func allows(_ address: String, _ port: UInt16, _ transport: ExitPolicy.Transport = .tcp) -> Bool {
            IPAddress(address).map { policy.allows($0, port: port, transport) } ?? false
        }
        #expect(allows("8.8.8.8", 443) && allows("8.8.8.8", 443, .udp))
        #expect(!allows("8.8.8.8", 80) && !allows("8.8.4.4", 443))
        #expect(allows("9.9.9.9", 80) && !allows("9.9.9.9", 79))
        // No rule opens what the defaults close.
        #expect(!allows("9.9.9.9", 25) && !allows("10.0.0.1", 80) && !allows("9.9.9.9", 123, .udp))
        // A 6to4 or NAT64 address leads to the IPv4 address that it holds.
        #expect(!allows("64:ff9b::808:404", 443) && allows("64:ff9b::808:808", 443))
    }
}
