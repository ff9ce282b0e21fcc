/// The destination of an application: a host, by address or by a name that only the exit resolves, and a port.
public struct Destination: Hashable, Sendable {
    /// A host by address or by name.
    public enum Host: Hashable, Sendable {
        /// A host by its address.
        case address(IPAddress)
        /// A host by its name.
        case name(HostName)
    }

    /// The name or address to connect to.
    public var host: Host
    /// The port, in host order.
    public var port: UInt16

    /// The port `port` at `host`.
    public init(host: Host, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// The longest encoding in bytes.
    public static let maximumSize = 1 + 1 + HostName.maximumLength + 2

    /// Writes the kind, the address in network order or the name after its length, and the port.
    public func encode(into writer: inout ByteWriter) {
        host.encode(into: &writer)
        writer.u16(port)
    }

    /// Reads a destination from the front of `reader`.
    ///
    /// Each destination has one encoding: a mapped IPv4 address as IPv6, an address as a name, and a name not in its
    /// canonical form throw `outOfRange`.
    public static func decode(from reader: inout ByteReader) throws(WireError) -> Destination {
        let host = try Host.decode(from: &reader)
        return Destination(host: host, port: try reader.u16())
    }
}

extension Destination.Host {
    /// The first byte of an encoding.
    private enum Kind: UInt8 {
        case v4 = 1
        case v6 = 2
        case name = 3
    }

    /// Writes the kind and the address in network order, or the name after its length.
    func encode(into writer: inout ByteWriter) {
        switch self {
        case .address(let address):
            if let value = address.v4 {
                writer.u8(Kind.v4.rawValue)
                writer.raw(networkOrder(value))
            } else {
                writer.u8(Kind.v6.rawValue)
                writer.raw(networkOrder(address.high))
                writer.raw(networkOrder(address.low))
            }
        case .name(let name):
            writer.u8(Kind.name.rawValue)
            writer.u8(UInt8(name.text.utf8.count))
            writer.raw(name.text.utf8)
        }
    }

    /// Reads a host by the rules of `Destination.decode(from:)`.
    static func decode(from reader: inout ByteReader) throws(WireError) -> Destination.Host {
        let byte = try reader.u8()
        guard let kind = Kind(rawValue: byte) else { throw .unknownKind(UInt64(byte)) }
        switch kind {
        case .v4:
            return .address(IPAddress(v4: (try reader.u32()).byteSwapped))
        case .v6:
            let address = IPAddress(high: (try reader.u64()).byteSwapped, low: (try reader.u64()).byteSwapped)
            guard address.v4 == nil else { throw .outOfRange }
            return .address(address)
        case .name:
            let count = Int(try reader.u8())
            guard 1...HostName.maximumLength ~= count else { throw .outOfRange }
            let bytes = try reader.array(count)
            guard let name = HostName(ascii: bytes), name.text.utf8.elementsEqual(bytes) else { throw .outOfRange }
            return .name(name)
        }
    }
}

/// The bytes of `value`, most significant first.
func networkOrder<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> T(T.bitWidth - 8 - 8 * $0)) }
}
