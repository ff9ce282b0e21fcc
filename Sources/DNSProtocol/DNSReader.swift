internal import Wire

/// Reads a DNS message (RFC 1035, section 4) from the front; every length is checked.
struct DNSReader: ~Escapable {
    /// The message is truncated or has an invalid value.
    struct Malformed: Error {}

    /// The longest name in bytes, with its length bytes and the root's.
    static let longestName = 255

    let message: RawSpan
    var offset: Int

    /// Reads `message` from `offset` on.
    @_lifetime(copy message)
    init(_ message: RawSpan, at offset: Int = 0) {
        self.message = message
        self.offset = offset
    }

    mutating func u8() throws(Malformed) -> UInt8 {
        guard offset < message.byteCount else { throw Malformed() }
        defer { offset += 1 }
        return unsafe message.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
    }

    mutating func u16() throws(Malformed) -> UInt16 { UInt16(try u8()) << 8 | UInt16(try u8()) }

    mutating func u32() throws(Malformed) -> UInt32 { UInt32(try u16()) << 16 | UInt32(try u16()) }

    mutating func bytes(_ count: Int) throws(Malformed) -> [UInt8] {
        guard count >= 0, count <= message.byteCount - offset else { throw Malformed() }
        defer { offset += count }
        return [UInt8](copying: message.extracting(offset..<offset + count))
    }

    /// Reads a name as length bytes and labels, uncompressed and in its own case; each pointer must point further to
    /// the front.
    mutating func name(mayPoint: Bool = true) throws(Malformed) -> [UInt8] {
        var name: [UInt8] = []
        var position = offset
        var end: Int?
        while true {
            guard position < message.byteCount else { throw Malformed() }
            let length = unsafe message.unsafeLoad(fromByteOffset: position, as: UInt8.self)
            switch length {
            case 0:
                name.append(0)
                offset = end ?? position + 1
                return name
            case 1...63:
                let next = position + 1 + Int(length)
                guard next <= message.byteCount, name.count + 1 + Int(length) < Self.longestName else {
                    throw Malformed()
                }
                name += [UInt8](copying: message.extracting(position..<next))
                position = next
            case 0xc0...:
                guard mayPoint, position + 1 < message.byteCount else { throw Malformed() }
                let low = unsafe message.unsafeLoad(fromByteOffset: position + 1, as: UInt8.self)
                let target = Int(length & 0x3f) << 8 | Int(low)
                if end == nil { end = position + 2 }
                guard target < position, target >= 12 else { throw Malformed() }
                position = target
            default: throw Malformed()
            }
        }
    }
}

/// The same name in lower case, as names are compared.
func lowercased(_ name: [UInt8]) -> [UInt8] {
    // Length bytes are below 64, so they are not letters.
    name.map { UInt8(ascii: "A")...UInt8(ascii: "Z") ~= $0 ? $0 | 0x20 : $0 }
}

extension HostName {
    /// The name in length bytes and labels; nil if it is not a valid host name.
    init?(labels name: [UInt8]) {
        var text: [UInt8] = []
        var position = 0
        while position < name.count, name[position] != 0 {
            let next = position + 1 + Int(name[position])
            guard next <= name.count else { return nil }
            let label = name[position + 1..<next]
            // A dot within a label is not a separator.
            guard !label.contains(UInt8(ascii: ".")) else { return nil }
            if !text.isEmpty { text.append(UInt8(ascii: ".")) }
            text += label
            position = next
        }
        self.init(ascii: text)
    }

    /// The name in length bytes and labels.
    var labels: [UInt8] {
        var bytes: [UInt8] = []
        for label in text.utf8.split(separator: UInt8(ascii: ".")) {
            bytes.append(UInt8(label.count))
            bytes += label
        }
        return bytes + [0]
    }
}
