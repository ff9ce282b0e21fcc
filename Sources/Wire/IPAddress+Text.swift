extension IPAddress: LosslessStringConvertible {
    /// Reads a dotted quad or an IPv6 address; nil for anything else.
    ///
    /// The quad must be four decimal numbers without leading zeros. IPv6 is RFC 4291, section 2.2, including an
    /// embedded dotted quad; zone ids and brackets are refused. `::ffff:1.2.3.4` is the IPv4 address 1.2.3.4.
    public init?(_ text: String) { self.init(ascii: Array(text.utf8)[...]) }

    /// Reads the text form from ASCII bytes by the rules of `init(_:)`.
    public init?(ascii text: ArraySlice<UInt8>) {
        guard text.count <= Self.longestText else { return nil }
        if let value = Self.quad(text) {
            self.init(v4: value)
        } else if let groups = Self.groups(text) {
            var high: UInt64 = 0
            var low: UInt64 = 0
            for index in 0..<4 {
                high = high << 16 | UInt64(groups[index])
                low = low << 16 | UInt64(groups[index + 4])
            }
            self.init(high: high, low: low)
        } else {
            return nil
        }
    }

    /// The length of "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".
    private static let longestText = 45

    /// The text form: a dotted quad for IPv4, else IPv6 as RFC 5952 writes it.
    public var description: String {
        if let value = v4 {
            return "\(value >> 24).\(value >> 16 & 0xff).\(value >> 8 & 0xff).\(value & 0xff)"
        }
        let groups = (0..<8).map { index in
            UInt16(truncatingIfNeeded: (index < 4 ? high : low) >> UInt64(48 - 16 * (index % 4)))
        }
        // The longest run of two or more zero groups, the first one among equals, becomes "::".
        var run = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, groups[end] == 0 { end += 1 }
            if end - start >= 2, end - start > run.count { run = start..<end }
            start = end + 1
        }
        let hex = groups.map { String($0, radix: 16) }
        if run.isEmpty { return hex.joined(separator: ":") }
        return hex[..<run.lowerBound].joined(separator: ":") + "::" + hex[run.upperBound...].joined(separator: ":")
    }

    /// Four decimal numbers of 0 to 255 without leading zeros, separated by dots.
    private static func quad(_ text: ArraySlice<UInt8>) -> UInt32? {
        let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard let number = decimal(part, upTo: 255) else { return nil }
            value = value << 8 | UInt32(number)
        }
        return value
    }

    /// Eight groups of IPv6, with at most one "::" and optionally a dotted quad as the last two.
    private static func groups(_ text: ArraySlice<UInt8>) -> [UInt16]? {
        let colon = UInt8(ascii: ":")
        var before: [UInt16] = []
        var after: [UInt16] = []
        var compressed = false
        var rest = text
        if rest.starts(with: [colon, colon]) {
            compressed = true
            rest = rest.dropFirst(2)
            if rest.isEmpty { return Array(repeating: 0, count: 8) }
        }
        while true {
            let end = rest.firstIndex(of: colon) ?? rest.endIndex
            let part = rest[rest.startIndex..<end]
            var numbers: [UInt16] = []
            if end == rest.endIndex, let value = quad(part) {
                numbers = [UInt16(value >> 16), UInt16(value & 0xffff)]
            } else if let number = hexadecimal(part) {
                numbers = [number]
            } else {
                return nil
            }
            if compressed { after += numbers } else { before += numbers }
            guard before.count + after.count <= 8 else { return nil }
            guard end < rest.endIndex else { break }
            rest = rest[(end + 1)...]
            if rest.first == colon {
                if compressed { return nil }
                compressed = true
                rest = rest.dropFirst()
                if rest.isEmpty { break }
            }
        }
        let count = before.count + after.count
        guard compressed ? count <= 7 : count == 8 else { return nil }
        return before + Array(repeating: 0, count: 8 - count) + after
    }

    /// One to four hexadecimal digits.
    private static func hexadecimal(_ text: ArraySlice<UInt8>) -> UInt16? {
        guard 1...4 ~= text.count else { return nil }
        var value: UInt16 = 0
        for byte in text {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt16(byte - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt16(byte - UInt8(ascii: "a") + 10)
            case UInt8(ascii: "A")...UInt8(ascii: "F"): value = value << 4 | UInt16(byte - UInt8(ascii: "A") + 10)
            default: return nil
            }
        }
        return value
    }
}

extension Endpoint: LosslessStringConvertible {
    /// Reads `1.2.3.4:80` or `[2001:db8::1]:80`; nil for anything else.
    public init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard let colon = bytes.lastIndex(of: UInt8(ascii: ":")),
            let port = decimal(bytes[(colon + 1)...], upTo: 65_535)
        else { return nil }
        var host = bytes[..<colon]
        let bracketed = host.first == UInt8(ascii: "[") && host.last == UInt8(ascii: "]") && host.count > 2
        if bracketed { host = host.dropFirst().dropLast() }
        guard bracketed == host.contains(UInt8(ascii: ":")), let address = IPAddress(ascii: host) else { return nil }
        self.init(address: address, port: UInt16(port))
    }

    /// The text form: `1.2.3.4:80` or `[2001:db8::1]:80`.
    public var description: String { address.v4 == nil ? "[\(address)]:\(port)" : "\(address):\(port)" }
}

/// A decimal number without sign or leading zeros, at most `limit`.
func decimal(_ text: ArraySlice<UInt8>, upTo limit: Int) -> Int? {
    guard 1...5 ~= text.count, text.count == 1 || text.first != UInt8(ascii: "0") else { return nil }
    var value = 0
    for byte in text {
        guard UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte else { return nil }
        value = value * 10 + Int(byte - UInt8(ascii: "0"))
    }
    return value <= limit ? value : nil
}
