/// The protocol between an app and the proxy; the first byte of the connection determines it.
public enum ProxyProtocol: UInt8, Sendable, CaseIterable {
    /// SOCKS4 and SOCKS4a: the first byte is 4.
    case socks4
    /// SOCKS5 (RFC 1928): the first byte is 5.
    case socks5
    /// HTTP/1 CONNECT (RFC 9110, section 9.3.6): the first byte is a capital letter, as every method has.
    case http

    /// The protocol whose first byte is `byte`; nil for any other.
    init?(firstByte byte: UInt8) {
        switch byte {
        case 4: self = .socks4
        case SocksMethod.version: self = .socks5
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): self = .http
        default: return nil
        }
    }
}
