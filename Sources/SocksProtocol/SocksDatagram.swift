public import Wire

/// A datagram between an app and the proxy (RFC 1928, section 7), with its header in front.
///
///     reserved 2 (= 0) │ fragment 1 (= 0) │ address type 1 │ address │ port 2 │ data
///
/// Fragments are not reassembled: a datagram with a fragment byte other than 0 counts as unreadable, as the RFC allows.
public enum SocksDatagram {
    /// The destination of an app's datagram, and the offset of its data; nil for a datagram to be dropped.
    ///
    /// A name that is an IP literal becomes that address. Port 0 is invalid.
    public static func decode(from bytes: RawSpan) -> (peer: Destination, offset: Int)? {
        var fields = SocksFields(bytes)
        guard let peer = try? fields.datagramPeer(), peer.port != 0 else { return nil }
        return (peer, fields.consumed)
    }

    /// A datagram to an app: `data` from `peer`.
    public static func encoded(from peer: Destination, _ data: RawSpan) -> [UInt8] {
        var bytes: [UInt8] = [0, 0, 0]
        bytes.reserveCapacity(22 + data.byteCount)
        peer.host.append(to: &bytes)
        bytes.append(UInt8(truncatingIfNeeded: peer.port >> 8))
        bytes.append(UInt8(truncatingIfNeeded: peer.port))
        unsafe data.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
        return bytes
    }
}

extension Destination.Host {
    /// Appends the type and the address in network order, or the name after its length (RFC 1928, section 5).
    func append(to bytes: inout [UInt8]) {
        switch self {
        case .address(let address):
            if let value = address.v4 {
                bytes.append(SocksAddressType.v4.rawValue)
                for shift in stride(from: 24, through: 0, by: -8) {
                    bytes.append(UInt8(truncatingIfNeeded: value >> UInt32(shift)))
                }
            } else {
                bytes.append(SocksAddressType.v6.rawValue)
                for half in [address.high, address.low] {
                    for shift in stride(from: 56, through: 0, by: -8) {
                        bytes.append(UInt8(truncatingIfNeeded: half >> UInt64(shift)))
                    }
                }
            }
        case .name(let name):
            bytes.append(SocksAddressType.name.rawValue)
            bytes.append(UInt8(name.text.utf8.count))
            bytes.append(contentsOf: name.text.utf8)
        }
    }
}
