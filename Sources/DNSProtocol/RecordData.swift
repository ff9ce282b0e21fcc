public import Wire

/// The data of a record, decoded by its type: well-formed and without compressed names, or refused.
public enum RecordData {
    /// Whether `data` is well-formed data of a record of `type`.
    public static func isValid(_ data: [UInt8], of type: RecordType) -> Bool {
        plain(type, data.rawSpan, 0..<data.count, mayPoint: false) == data
    }

    /// The address in the data of an A or AAAA record.
    public static func address(_ data: [UInt8], of type: RecordType) -> IPAddress? {
        func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
        switch (type, data.count) {
        case (.a, 4): return IPAddress(v4: UInt32(truncatingIfNeeded: number(data[...])))
        case (.aaaa, 16): return IPAddress(high: number(data[..<8]), low: number(data[8...]))
        default: return nil
        }
    }

    /// All addresses in the well-formed data of a record.
    ///
    /// They are that of A and AAAA, and the hints of SVCB and HTTPS (RFC 9460, section 7.3).
    public static func addresses(_ data: [UInt8], of type: RecordType) -> [IPAddress] {
        guard type == .svcb || type == .https else { return address(data, of: type).map { [$0] } ?? [] }
        var found: [IPAddress] = []
        var reader = DNSReader(data.rawSpan, at: 0)
        do throws(DNSReader.Malformed) {
            _ = try reader.bytes(2)
            _ = try reader.name(mayPoint: false)
            while reader.offset < data.count {
                let key = try reader.bytes(4)
                let value = try reader.bytes(Int(key[2]) << 8 | Int(key[3]))
                let kind: (type: RecordType, size: Int)? =
                    switch (key[0], key[1]) {
                    case (0, 4): (.a, 4)
                    case (0, 6): (.aaaa, 16)
                    default: nil
                    }
                guard let kind else { continue }
                for start in stride(from: 0, through: value.count - kind.size, by: kind.size) {
                    if let address = address(Array(value[start..<start + kind.size]), of: kind.type) {
                        found.append(address)
                    }
                }
            }
        } catch {
            // Malformed data gives the addresses found so far; ``isValid(_:of:)`` refuses it.
        }
        return found
    }

    /// The data of an A or AAAA record with `address`.
    public static func of(_ address: IPAddress) -> [UInt8] {
        func bytes(_ value: UInt64, _ count: Int) -> [UInt8] {
            (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * (count - 1 - $0))) }
        }
        if let value = address.v4 { return bytes(UInt64(value), 4) }
        return bytes(address.high, 8) + bytes(address.low, 8)
    }

    /// The address whose name in the reverse tree is `name` (RFC 1035, section 3.5; RFC 3596, section 2.5).
    public static func address(named name: HostName) -> IPAddress? {
        let labels = name.text.utf8.split(separator: UInt8(ascii: ".")).map { String(decoding: $0, as: UTF8.self) }
        if labels.count == 6, labels[4...] == ["in-addr", "arpa"] {
            return IPAddress(labels[..<4].reversed().joined(separator: "."))
        }
        guard labels.count == 34, labels[32...] == ["ip6", "arpa"] else { return nil }
        var (high, low) = (UInt64(0), UInt64(0))
        for (index, label) in labels[..<32].reversed().enumerated() {
            guard label.utf8.count == 1, let digit = UInt64(label, radix: 16) else { return nil }
            if index < 16 { high = high << 4 | digit } else { low = low << 4 | digit }
        }
        return IPAddress(high: high, low: low)
    }

    /// The name in the reverse tree of `address`.
    public static func reverseName(of address: IPAddress) -> HostName {
        let bytes = of(address).reversed()
        let labels =
            address.v4 != nil
            ? bytes.map { String($0) } + ["in-addr"]
            : bytes.flatMap { [String($0 & 15, radix: 16), String($0 >> 4, radix: 16)] } + ["ip6"]
        guard let name = HostName(labels.joined(separator: ".") + ".arpa") else {
            preconditionFailure("numbers below arpa are a name")
        }
        return name
    }

    /// The name in the data of a PTR record; nil if it is not a valid host name.
    public static func name(_ data: [UInt8]) -> HostName? { HostName(labels: data) }

    /// The data at `range` of `message` without compressed names; nil if it is malformed.
    static func plain(_ type: RecordType, _ message: RawSpan, _ range: Range<Int>, mayPoint: Bool) -> [UInt8]? {
        // Names may point to bytes before the data; no byte after it is read.
        var reader = DNSReader(message.extracting(first: range.upperBound), at: range.lowerBound)
        do throws(DNSReader.Malformed) {
            let data = try read(type, &reader, range.upperBound, mayPoint)
            return reader.offset == range.upperBound ? data : nil
        } catch {
            return nil
        }
    }

    private static func read(
        _ type: RecordType, _ reader: inout DNSReader, _ end: Int, _ mayPoint: Bool
    ) throws(DNSReader.Malformed) -> [UInt8]? {
        let count = end - reader.offset
        switch type {
        case .a: return count == 4 ? try reader.bytes(4) : nil
        case .aaaa: return count == 16 ? try reader.bytes(16) : nil
        case .ns, .cname, .ptr: return try reader.name(mayPoint: mayPoint)
        case .mx: return try reader.bytes(2) + reader.name(mayPoint: mayPoint)
        case .srv: return try reader.bytes(6) + reader.name(mayPoint: mayPoint)
        case .txt:
            guard count > 0 else { return nil }
            var data: [UInt8] = []
            while reader.offset < end {
                let length = try reader.u8()
                data += [length] + (try reader.bytes(Int(length)))
            }
            return data
        case .svcb, .https:
            var data = try reader.bytes(2) + reader.name(mayPoint: false)
            var last = -1
            while reader.offset < end {
                let key = try reader.bytes(4)
                let number = Int(key[0]) << 8 | Int(key[1])
                // Each key occurs once, in ascending order (RFC 9460, section 2.2).
                guard number > last else { return nil }
                last = number
                data += key + (try reader.bytes(Int(key[2]) << 8 | Int(key[3])))
            }
            return data
        case .sshfp, .tlsa, .caa: return count >= 3 ? try reader.bytes(count) : nil
        default: return nil
        }
    }
}
