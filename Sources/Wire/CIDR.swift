/// A range of addresses that share a prefix, of one family: an IPv6 range never holds an IPv4 address.
public struct CIDR: Hashable, Sendable {
    /// The first address of the range.
    public let address: IPAddress
    /// How many leading bits are shared: 0 to 32 for IPv4, 0 to 128 for IPv6.
    public let prefixLength: Int

    /// The range of `prefixLength` bits around `address`, whose further bits are cleared.
    ///
    /// Nil if the family of `address` has fewer bits.
    public init?(_ address: IPAddress, prefixLength: Int) {
        let isV4 = address.v4 != nil
        guard 0...(isV4 ? 32 : 128) ~= prefixLength else { return nil }
        let masked = Self.first(address, bits: prefixLength + (isV4 ? 96 : 0))
        self.address = masked
        self.prefixLength = prefixLength
    }

    /// The first address of the range of `bits` out of 128.
    private static func first(_ address: IPAddress, bits: Int) -> IPAddress {
        let high = bits >= 64 ? address.high : bits == 0 ? 0 : address.high & (UInt64.max << UInt64(64 - bits))
        let low = bits <= 64 ? 0 : bits == 128 ? address.low : address.low & (UInt64.max << UInt64(128 - bits))
        return IPAddress(high: high, low: low)
    }

    /// Whether `other` is in the range and of its family.
    public func contains(_ other: IPAddress) -> Bool {
        let isV4 = address.v4 != nil
        guard isV4 == (other.v4 != nil) else { return false }
        return Self.first(other, bits: prefixLength + (isV4 ? 96 : 0)) == address
    }
}

extension CIDR: LosslessStringConvertible {
    /// Reads `10.0.0.0/8`, `fc00::/7`, or a single address; nil for anything else.
    public init?(_ text: String) {
        let bytes = Array(text.utf8)
        let slash = bytes.firstIndex(of: UInt8(ascii: "/")) ?? bytes.endIndex
        guard let address = IPAddress(ascii: bytes[..<slash]) else { return nil }
        var length = address.v4 == nil ? 128 : 32
        if slash < bytes.endIndex {
            guard let given = decimal(bytes[(slash + 1)...], upTo: length) else { return nil }
            length = given
        }
        self.init(address, prefixLength: length)
    }

    /// The text form, always with the prefix length: `10.0.0.0/8`.
    public var description: String { "\(address)/\(prefixLength)" }
}
