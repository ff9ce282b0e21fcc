public import Wire

/// The result of a request, in the codes of RFC 1928, section 6.
public enum SocksReply: UInt8, Sendable, CaseIterable {
    /// The connection is open.
    case succeeded = 0
    /// A failure without a code of its own.
    case generalFailure = 1
    /// A rule forbids the request.
    case notAllowed = 2
    /// There is no route to the network.
    case networkUnreachable = 3
    /// There is no route to the host, or the host does not exist.
    case hostUnreachable = 4
    /// The destination refused the connection.
    case connectionRefused = 5
    /// The destination did not answer in time.
    case ttlExpired = 6
    /// The server does not support the command.
    case commandNotSupported = 7
    /// The server does not support the address type.
    case addressTypeNotSupported = 8

    /// The bound address in a reply that has no better one.
    public static let unspecified = Endpoint(address: IPAddress(v4: 0), port: 0)

    /// The reply for the exit's `status`.
    public init(_ status: OpenReply.Status) {
        self =
            switch status {
            case .ok: .succeeded
            case .refused: .connectionRefused
            case .hostUnreachable, .hostNotFound: .hostUnreachable
            case .networkUnreachable: .networkUnreachable
            case .notAllowed: .notAllowed
            case .timeout: .ttlExpired
            case .generalFailure, .tooManyStreams: .generalFailure
            }
    }

    /// The reply in the app's protocol; after any except `succeeded` the connection is closed.
    public func encoded(via: ProxyProtocol) -> [UInt8] {
        switch via {
        case .socks4: [0, self == .succeeded ? 90 : 91, 0, 0, 0, 0, 0, 0]
        case .socks5: encoded()
        case .http: HTTPAnswer(self).encoded()
        }
    }

    /// The reply to RESOLVE or RESOLVE_PTR with the result `host`, by Tor's socks-extensions.
    ///
    /// SOCKS4 cannot carry an IPv6 address or a name, and HTTP has no such request: the reply is then a failure.
    public static func encoded(found host: Destination.Host, via: ProxyProtocol) -> [UInt8] {
        switch (via, host) {
        case (.socks5, .address(let address)):
            return succeeded.encoded(bound: Endpoint(address: address, port: 0))
        case (.socks5, .name(let name)):
            let text = Array(name.text.utf8)
            return [SocksMethod.version, succeeded.rawValue, 0, SocksAddressType.name.rawValue, UInt8(text.count)]
                + text + [0, 0]
        case (.socks4, .address(let address)):
            guard let value = address.v4 else { return hostUnreachable.encoded(via: via) }
            return [0, 90, 0, 0] + (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * $0)) }
        case (.socks4, .name), (.http, _): return hostUnreachable.encoded(via: via)
        }
    }

    /// The SOCKS5 reply message, with the server's bound address and port for this request.
    public func encoded(bound: Endpoint = unspecified) -> [UInt8] {
        var writer = ByteWriter(capacity: 22)
        writer.u8(SocksMethod.version)
        writer.u8(rawValue)
        writer.u8(0)
        if let value = bound.address.v4 {
            writer.u8(SocksAddressType.v4.rawValue)
            writer.u32(value.byteSwapped)
        } else {
            writer.u8(SocksAddressType.v6.rawValue)
            writer.u64(bound.address.high.byteSwapped)
            writer.u64(bound.address.low.byteSwapped)
        }
        writer.u16(bound.port.byteSwapped)
        return writer.bytes
    }
}
