/// Why an app's connection is closed before it asked for anything that the proxy has.
public enum SocksError: Error, Equatable, Sendable {
    /// The first byte begins no protocol that is spoken here. Closed without an answer.
    case unknownProtocol
    /// The client offers no method that the server has.
    case noAcceptableMethod
    /// The user/password message has another version than 1.
    case badAuthenticationVersion(UInt8)
    /// The request has another version than 5.
    case badRequestVersion(UInt8)
    /// The reserved byte of the request is not 0.
    case badReservedByte(UInt8)
    /// The command is none that is known.
    case unknownCommand(UInt8)
    /// The address type is none that is known.
    case unknownAddressType(UInt8)
    /// The user id of SOCKS4 has more than 255 bytes.
    case userTooLong
    /// The name is empty or not the shape of a host name.
    case badName
    /// CONNECT to port 0.
    case badPort
    /// An address where a name belongs, or the other way round (RESOLVE_PTR).
    case wrongAddressType
    /// More bytes were handed over behind the request than there was room for.
    case tooMuchEarlyData
    /// The head of an HTTP request is longer than `HTTPHead.maximumSize`.
    case headTooLong
    /// The head of an HTTP request or its body is malformed, or says something that it cannot.
    case badHead
    /// An HTTP request that is none to a proxy: no CONNECT, and not for an http: URL. A HEAD is answered without a body.
    case notConnect(isHead: Bool)

    /// The bytes to send before closing to an app that speaks `via`; empty where nothing is answered.
    public func answer(via: ProxyProtocol) -> [UInt8] {
        switch self {
        case .unknownProtocol, .tooMuchEarlyData: []
        case .noAcceptableMethod: [SocksMethod.version, SocksMethod.noneAcceptable]
        case .badAuthenticationVersion: [SocksCredentials.version, 1]
        case .badRequestVersion, .badReservedByte, .userTooLong: SocksReply.generalFailure.encoded(via: via)
        case .unknownCommand: SocksReply.commandNotSupported.encoded(via: via)
        case .unknownAddressType, .wrongAddressType: SocksReply.addressTypeNotSupported.encoded(via: via)
        case .badName, .badPort:
            via == .http ? HTTPAnswer.badRequest.encoded() : SocksReply.generalFailure.encoded(via: via)
        case .headTooLong, .badHead: HTTPAnswer.badRequest.encoded()
        case .notConnect(let isHead): HTTPAnswer.methodNotAllowed.encoded(withBody: !isHead)
        }
    }
}
