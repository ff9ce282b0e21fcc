extension IPAddress {
    /// Whether the address is a global one of an Internet host, and does not embed another address.
    ///
    /// Special addresses by the IANA registries (RFC 6890) are not public: private, loopback, link-local, shared,
    /// documentation and benchmarking ranges, multicast, reserved ones, and every IPv6 address outside 2000::/3.
    /// Neither are 168.63.129.16, the service of the host of each machine of Azure, and 6to4 and NAT64 addresses, which
    /// stand for an IPv4 address (`embeddedV4`).
    public var isPublic: Bool {
        if let value = v4 { return !Self.isSpecial(v4: value) }
        guard high >> 61 == 0b001 else { return false }
        let isSpecial =
            high >> 41 == 0x2001_0000 >> 9  // 2001::/23, protocol assignments, Teredo and ORCHID among them
            || high >> 32 == 0x2001_0db8  // 2001:db8::/32, documentation
            || high >> 48 == 0x2002  // 2002::/16, 6to4
            || high >> 44 == 0x3fff0  // 3fff::/20, documentation
        return !isSpecial
    }

    /// The IPv4 address to which this IPv6 address leads: NAT64 (64:ff9b::/96) and 6to4 (2002::/16); nil for others.
    public var embeddedV4: UInt32? {
        if high == 0x0064_ff9b_0000_0000, low >> 32 == 0 { return UInt32(truncatingIfNeeded: low) }
        if high >> 48 == 0x2002 { return UInt32(truncatingIfNeeded: high >> 16) }
        return nil
    }

    /// Whether a connection to the address ends at an Internet host; a NAT64 or 6to4 address leads to an IPv4 address.
    public var leadsToPublic: Bool { embeddedV4.map { IPAddress(v4: $0).isPublic } ?? isPublic }

    /// Whether the address is in a range for documentation: 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24 or
    /// 2001:db8::/32.
    public var isDocumentation: Bool {
        guard let v4 else { return high >> 32 == 0x2001_0db8 }
        return [0xc0_0002, 0xc6_3364, 0xcb_0071].contains(v4 >> 8)
    }

    /// Whether the address is a loopback one: 127.0.0.0/8 or ::1.
    public var isLoopback: Bool { v4.map { $0 >> 24 == 127 } ?? (high == 0 && low == 1) }

    /// Whether it is 0.0.0.0 or ::, which is an address to listen on, not to send to.
    public var isUnspecified: Bool { v4 == 0 || (high == 0 && low == 0) }

    /// Whether the IPv4 address `value` is in a special-purpose range (RFC 6890 and its registry).
    private static func isSpecial(v4 value: UInt32) -> Bool {
        switch value >> 24 {
        case 0, 10, 127: true  // this network, private, loopback
        case 100: value >> 22 == 0x6440_0000 >> 22  // 100.64.0.0/10, shared by carrier NAT
        case 168: value == 0xa83f_8110  // 168.63.129.16, the host of a machine of Azure
        case 169: value >> 16 == 0xa9fe  // 169.254.0.0/16, link-local
        case 172: value >> 20 == 0xac1  // 172.16.0.0/12, private
        case 192:
            value >> 8 == 0xc00000  // 192.0.0.0/24, protocol assignments
                || value >> 8 == 0xc00002  // 192.0.2.0/24, documentation
                || value >> 8 == 0xc05863  // 192.88.99.0/24, 6to4 relays
                || value >> 16 == 0xc0a8  // 192.168.0.0/16, private
        case 198:
            value >> 17 == 0xc612_0000 >> 17  // 198.18.0.0/15, benchmarking
                || value >> 8 == 0xc63364  // 198.51.100.0/24, documentation
        case 203: value >> 8 == 0xcb0071  // 203.0.113.0/24, documentation
        case 224...255: true  // multicast, reserved, broadcast
        default: false
        }
    }
}
