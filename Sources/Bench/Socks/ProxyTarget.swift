public import EventLoop

/// A host and a port behind the proxy.
public struct ProxyTarget: Hashable, Sendable, CustomStringConvertible {
    /// A name or a numeric address.
    public var host: String
    /// The port.
    public var port: UInt16

    /// A host, as a name of at most 255 bytes or a numeric address, and a port.
    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Parses `HOST:PORT`, with an IPv6 address in brackets.
    public init?(_ text: String) {
        if let address = SocketAddress(text) {
            self.init(host: address.host, port: address.port)
        } else {
            guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
                return nil
            }
            let host = String(text[..<colon])
            guard 1...255 ~= host.utf8.count, !host.contains(":"), host.utf8.allSatisfy({ 0x21...0x7e ~= $0 }) else {
                return nil
            }
            self.init(host: host, port: port)
        }
        guard self.port != 0 else { return nil }
    }

    /// The numeric address; nil if the host is a name.
    public var address: SocketAddress? { SocketAddress(numericHost: host, port: port) }

    /// The form that ``init(_:)`` reads.
    public var description: String { address?.description ?? "\(host):\(port)" }

    /// Type, address and port in the form of SOCKS5 (RFC 1928, section 5).
    var socksBytes: [UInt8] {
        let place: [UInt8]
        if let address {
            place =
                address.ipv4.map { [1] + bigEndianBytes(of: $0) }
                ?? [4] + bigEndianBytes(of: address.high) + bigEndianBytes(of: address.low)
        } else {
            place = [3, UInt8(truncatingIfNeeded: host.utf8.count)] + Array(host.utf8)
        }
        return place + bigEndianBytes(of: port)
    }
}
