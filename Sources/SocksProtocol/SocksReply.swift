public import Wire

/// How a request went, as the application is told (RFC 1928, section 6).
public enum SocksReply: UInt8, Sendable, CaseIterable {
    /// It stands.
    case succeeded = 0
    /// Something failed that has no code of its own.
    case generalFailure = 1
    /// A rule forbids it.
    case notAllowed = 2
    /// No way to the network.
    case networkUnreachable = 3
    /// No way to the host, or no such host.
    case hostUnreachable = 4
    /// The destination refused.
    case connectionRefused = 5
    /// It took too long.
    case ttlExpired = 6
    /// The command is not one that the server has.
    case commandNotSupported = 7
    /// The address type is not one that the server has.
    case addressTypeNotSupported = 8

    /// Where a reply says that the connection is bound, unless there is something better to say.
    public static let unspecified = Endpoint(address: IPAddress(v4: 0), port: 0)

    /// What the application is told when the exit says `status`.
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

    /// The reply in the terms of what the app speaks; behind any but `succeeded` the connection is closed.
    public func encoded(via: ProxyProtocol) -> [UInt8] {
        switch via {
        case .socks4: [0, self == .succeeded ? 90 : 91, 0, 0, 0, 0, 0, 0]
        case .socks5: encoded()
        case .http: HTTPAnswer(self).encoded()
        }
    }

    /// The reply to RESOLVE or RESOLVE_PTR that has found `host`, as Tor's socks-extensions have it.
    ///
    /// SOCKS4 has no place for an IPv6 address or a name, and HTTP has no such request: nothing is found.
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

    /// The reply message of SOCKS5, with the address and port at which the server is bound for this request.
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
