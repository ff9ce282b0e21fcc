/// An IPv4 or IPv6 address; an IPv4 one is held as IPv4-mapped.
public struct Address: Equatable, Sendable {
    let high: UInt64
    let low: UInt64

    init(v4: UInt32) {
        high = 0
        low = 0xffff_0000_0000 | UInt64(v4)
    }

    init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }
}

/// The source and destination of an IP packet, or nil where the bytes are none.
public func addresses(of packet: borrowing RawSpan) -> (source: Address, destination: Address)? {
    guard packet.byteCount >= 20 else { return nil }
    switch packet[0] >> 4 {
    case 4:
        return (Address(v4: packet.word(at: 12)), Address(v4: packet.word(at: 16)))
    case 6:
        guard packet.byteCount >= 40 else { return nil }
        return (
            Address(high: packet.long(at: 8), low: packet.long(at: 16)),
            Address(high: packet.long(at: 24), low: packet.long(at: 32))
        )
    default:
        return nil
    }
}

extension RawSpan {
    fileprivate subscript(place: Int) -> UInt8 { unsafe unsafeLoad(fromByteOffset: place, as: UInt8.self) }

    fileprivate func word(at place: Int) -> UInt32 {
        unsafe unsafeLoadUnaligned(fromByteOffset: place, as: UInt32.self).bigEndian
    }

    fileprivate func long(at place: Int) -> UInt64 {
        unsafe unsafeLoadUnaligned(fromByteOffset: place, as: UInt64.self).bigEndian
    }
}
