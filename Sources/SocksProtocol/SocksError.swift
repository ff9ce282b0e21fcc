/// Why a SOCKS connection is closed before it asked for anything.
///
/// `answer` is what the application is told first, behind what it is still owed from before.
public enum SocksError: Error, Equatable, Sendable {
    /// The first byte is not 5: some other protocol, perhaps a web page's doing. Closed without an answer.
    case notSocks
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
    /// The name is empty or not the shape of a host name.
    case badName
    /// CONNECT to port 0.
    case badPort
    /// An address where a name belongs, or the other way round (RESOLVE_PTR).
    case wrongAddressType
    /// More bytes came behind the request, before it was answered, than are kept.
    case tooMuchEarlyData

    /// The bytes to send before closing; empty where nothing is answered.
    public var answer: [UInt8] {
        switch self {
        case .notSocks, .tooMuchEarlyData: []
        case .noAcceptableMethod: [SocksMethod.version, SocksMethod.noneAcceptable]
        case .badAuthenticationVersion: [SocksCredentials.version, 1]
        case .badRequestVersion, .badReservedByte, .badName, .badPort: SocksReply.generalFailure.encoded()
        case .unknownCommand: SocksReply.commandNotSupported.encoded()
        case .unknownAddressType, .wrongAddressType: SocksReply.addressTypeNotSupported.encoded()
        }
    }
}
