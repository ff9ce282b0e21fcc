import Testing
import Wire

/// Ranges to which an exit opens no connections: the first and last address, and the addresses next to them where those
/// are public.
private let special: [(range: String, first: String, last: String, before: String?, after: String?)] = [
    ("this network", "0.0.0.0", "0.255.255.255", nil, "1.0.0.0"),
    ("private 10", "10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"),
    ("shared", "100.64.0.0", "100.127.255.255", "100.63.255.255", "100.128.0.0"),
    ("loopback", "127.0.0.0", "127.255.255.255", "126.255.255.255", "128.0.0.0"),
    ("Azure's host", "168.63.129.16", "168.63.129.16", "168.63.129.15", "168.63.129.17"),
    ("link-local", "169.254.0.0", "169.254.255.255", "169.253.255.255", "169.255.0.0"),
    ("private 172", "172.16.0.0", "172.31.255.255", "172.15.255.255", "172.32.0.0"),
    ("protocol assignments", "192.0.0.0", "192.0.0.255", "191.255.255.255", "192.0.1.0"),
    ("documentation 1", "192.0.2.0", "192.0.2.255", "192.0.1.255", "192.0.3.0"),
    ("6to4 relays", "192.88.99.0", "192.88.99.255", "192.88.98.255", "192.88.100.0"),
    ("private 192", "192.168.0.0", "192.168.255.255", "192.167.255.255", "192.169.0.0"),
    ("benchmarking", "198.18.0.0", "198.19.255.255", "198.17.255.255", "198.20.0.0"),
    ("documentation 2", "198.51.100.0", "198.51.100.255", "198.51.99.255", "198.51.101.0"),
    ("documentation 3", "203.0.113.0", "203.0.113.255", "203.0.112.255", "203.0.114.0"),
    ("multicast, reserved, broadcast", "224.0.0.0", "255.255.255.255", "223.255.255.255", nil),
    ("unspecified, loopback, v4-compatible", "::", "::255.255.255.255", nil, nil),
    ("v4-compatible of a public address", "::8.8.8.8", "::8.8.8.8", nil, nil),
    ("translated", "::ffff:0:808:808", "::ffff:0:808:808", nil, nil),
    ("local NAT64", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", nil, nil),
    ("beside NAT64", "64:ff9b::1:808:808", "64:ff9b:0:ffff::808:808", nil, nil),
    ("discard", "100::", "100::ffff:ffff:ffff:ffff", nil, nil),
    ("below global unicast", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "1fff::", nil, "2000::"),
    ("Teredo", "2001::", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", nil),
    ("Teredo of public addresses", "2001:0:808:808:0:ffff:f7f7:f7f7", "2001:0:808:808:0:ffff:f7f7:f7f7", nil, nil),
    ("benchmarking", "2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", nil, nil),
    ("ORCHID", "2001:10::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff", nil, nil),
    ("protocol assignments", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:1ff::", nil, "2001:200::"),
    (
        "documentation", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:db9::"
    ),
    (
        "documentation", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "3fff:1000::"
    ),
    ("above global unicast", "4000::", "4000::1", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", nil),
    ("segment routing", "5f00::", "5f00:ffff::", nil, nil),
    ("unique local", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", nil, nil),
    ("link-local", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", nil, nil),
    ("site-local", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", nil, nil),
    ("multicast", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", nil, nil),
]

@Suite("E1, E2, E3: what an exit lets out to") struct ExitPolicyTests {
    private func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text), "\(text)") }

    @Test(arguments: special.indices) func deniesSpecialRanges(row: Int) throws {
        let policy = ExitPolicy()
        for text in [special[row].first, special[row].last] {
            #expect(!(try address(text).isPublic), "\(special[row].range) \(text)")
            for transport in ExitPolicy.Transport.allCases {
                #expect(!policy.allows(try address(text), port: 443, transport), "\(special[row].range) \(text)")
            }
        }
        for text in [special[row].before, special[row].after].compactMap({ $0 }) {
            #expect(try address(text).isPublic, "beside \(special[row].range) \(text)")
            for transport in ExitPolicy.Transport.allCases {
                #expect(policy.allows(try address(text), port: 443, transport), "beside \(special[row].range) \(text)")
            }
        }
    }

    @Test(arguments: special.indices) func judgesEmbeddedAddresses(row: Int) throws {
        let policy = ExitPolicy()
        for (text, expected) in [
            (special[row].first, false), (special[row].last, false), (special[row].before, true),
            (special[row].after, true),
        ] {
            guard let text, let value = try address(text).v4 else { continue }
            let nat64 = IPAddress(high: 0x0064_ff9b_0000_0000, low: UInt64(value))
            let sixToFour = IPAddress(high: 0x2002_0000_0000_0000 | UInt64(value) << 16, low: 1)
            let mapped = IPAddress(high: 0, low: 0xffff_0000_0000 | UInt64(value))
            let compatible = IPAddress(high: 0, low: UInt64(value))
            #expect(nat64.embeddedV4 == value)
            #expect(sixToFour.embeddedV4 == value)
            #expect(policy.allows(nat64, port: 80, .tcp) == expected, "NAT64 of \(text)")
            #expect(policy.allows(sixToFour, port: 80, .tcp) == expected, "6to4 of \(text)")
            #expect(policy.allows(mapped, port: 80, .tcp) == expected, "mapped \(text)")
            #expect(!policy.allows(compatible, port: 80, .tcp), "compatible \(text)")
            #expect(!nat64.isPublic && !sixToFour.isPublic)
        }
    }

    @Test(arguments: ["8.8.8.8", "2606:4700::1111"]) func portsOfPublicAddresses(text: String) throws {
        let policy = ExitPolicy(allowed: try [#require(CIDR("0.0.0.0/0")), #require(CIDR("::/0"))])
        let plain = ExitPolicy()
        let target = try address(text)
        for port in UInt16.min...UInt16.max {
            let tcp = port != 0 && port != 25
            let udp = tcp && ![19, 123, 161, 389, 1900, 11211].contains(port)
            let right =
                plain.allows(target, port: port, .tcp) == tcp && policy.allows(target, port: port, .tcp) == tcp
                && plain.allows(target, port: port, .udp) == udp && policy.allows(target, port: port, .udp) == udp
            #expect(right, "port \(port)")
        }
    }

    @Test("a look-up tells only addresses to whose port 443 a connection could go, the operator's rules among that")
    func answersAsPort443() throws {
        let rules = [
            "reject 203.0.113.0/24:*", "reject 9.9.9.9:443", "reject 8.8.8.8:53", "reject 1.1.1.1:443", "accept *:*",
        ]
        let policy = ExitPolicy(
            allowed: [try #require(CIDR("203.0.113.0/24"))], rules: try rules.map { try #require(ExitRule($0)) })
        for (text, expected) in [
            ("203.0.113.7", false), ("9.9.9.9", false), ("8.8.8.8", true), ("64:ff9b::9.9.9.9", false),
            ("10.0.0.1", false),
            ("9.9.9.10", true),
        ] {
            #expect(policy.answers(try address(text)) == expected, "\(text)")
            #expect(policy.allows(try address(text), port: 443, .tcp) == expected, "\(text)")
        }
        #expect(ExitPolicy(allowed: [try #require(CIDR("203.0.113.0/24"))]).answers(try address("203.0.113.7")))
    }

    @Test func deniesOwnAddressesHoweverTheyAreWritten() throws {
        let policy = ExitPolicy(own: [try address("8.8.8.8"), try address("2606:4700::1")])
        for text in ["8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1", "2606:4700::1"] {
            #expect(!policy.allows(try address(text), port: 443, .tcp), "\(text)")
        }
        for text in ["8.8.8.9", "64:ff9b::8.8.8.9", "2606:4700::2"] {
            #expect(policy.allows(try address(text), port: 443, .tcp), "\(text)")
        }
    }

    @Test func allowListOverridesRangesAndOwnAddressesButNoPorts() throws {
        let policy = ExitPolicy(
            allowed: try [#require(CIDR("127.0.0.0/8")), #require(CIDR("fd00::/8"))],
            own: [try address("127.0.0.1"), try address("8.8.8.8")])
        for text in ["127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "2002:7f00:1::", "fd00::1"] {
            #expect(policy.allows(try address(text), port: 8080, .tcp), "\(text)")
            #expect(!policy.allows(try address(text), port: 25, .tcp), "\(text)")
            #expect(!policy.allows(try address(text), port: 0, .tcp), "\(text)")
            #expect(!policy.allows(try address(text), port: 123, .udp), "\(text)")
        }
        for text in ["10.0.0.1", "8.8.8.8", "::1", "::127.0.0.1", "fc00::1", "fe80::1"] {
            #expect(!policy.allows(try address(text), port: 8080, .tcp), "\(text)")
        }
    }

    @Test func tellsLoopback() throws {
        for text in ["127.0.0.1", "127.255.0.1", "::1"] { #expect(try address(text).isLoopback) }
        for text in ["128.0.0.1", "0.0.0.0", "::", "::2", "1::1"] { #expect(!(try address(text).isLoopback)) }
    }
}
