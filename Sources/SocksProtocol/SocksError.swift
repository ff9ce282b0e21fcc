/// Why an app's connection is closed before a valid request.
public enum SocksError: Error, Equatable, Sendable {
    /// The first byte is that of no supported protocol. Closed without an answer.
    case unknownProtocol
    /// The client offers no method that the server supports.
    case noAcceptableMethod
    /// The user/password message has a version other than 1.
    case badAuthenticationVersion(UInt8)
    /// The request has a version other than 5.
    case badRequestVersion(UInt8)
    /// The reserved byte of the request is not 0.
    case badReservedByte(UInt8)
    /// The command is unknown.
    case unknownCommand(UInt8)
    /// The address type is unknown.
    case unknownAddressType(UInt8)
    /// The user id of SOCKS4 has more than 255 bytes.
    case userTooLong
    /// The name is empty or not a valid host name.
    case badName
    /// CONNECT to port 0.
    case badPort
    /// An address in place of a name, or the other way round (RESOLVE_PTR).
    case wrongAddressType
    /// There were more bytes after the request than the room for early data.
    case tooMuchEarlyData
    /// The head of an HTTP request is longer than `HTTPHead.maximumSize`.
    case headTooLong
    /// The head or body of an HTTP request is malformed or has contradictory fields.
    case badHead
    /// The credentials of an HTTP request are not user and password of Basic authentication. A HEAD is answered without
    /// a body.
    case badCredentials(isHead: Bool)
    /// An HTTP request that is not for a proxy: not CONNECT, and not for an http: URL. A HEAD is answered without a
    /// body.
    case notConnect(isHead: Bool)

    /// The bytes to send before closing, in the protocol `via`; empty for no answer.
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
        case .badCredentials(let isHead): HTTPAnswer.credentialsNeeded.encoded(withBody: !isHead)
        case .notConnect(let isHead): HTTPAnswer.methodNotAllowed.encoded(withBody: !isHead)
        }
    }
}
