public import Wire

/// The request of an application.
public struct SocksRequest: Hashable, Sendable {
    /// The operation on the destination.
    public enum Command: UInt8, Sendable, CaseIterable {
        /// Connect to it (RFC 1928).
        case connect = 1
        /// Wait for a connection from it (RFC 1928).
        case bind = 2
        /// Carry datagrams; the destination is the expected source of them, mostly all zero (RFC 1928).
        case udpAssociate = 3
        /// Resolve the name (Tor's extension).
        case resolve = 0xf0
        /// Find the name of the address (Tor's extension).
        case resolvePointer = 0xf1
    }

    /// The operation.
    public var command: Command
    /// The destination; a name that is an IP literal has become that address.
    ///
    /// The port is not 0 for CONNECT; for others it may be.
    public var destination: Destination
    /// The user and password of the client: applications with different ones never share a path.
    ///
    /// The user id of SOCKS4 is a user without a password, and an empty one counts as nil.
    public var credentials: SocksCredentials?
    /// The protocol of the client, in which it must be answered.
    public var via: ProxyProtocol
    /// The forwarded request for an http: URL; nil if the app itself speaks to the destination.
    public var forward: HTTPForward?

    /// A request for `command` with `destination`.
    public init(
        command: Command, destination: Destination, credentials: SocksCredentials? = nil, via: ProxyProtocol = .socks5
    ) {
        self.command = command
        self.destination = destination
        self.credentials = credentials
        self.via = via
    }

    /// The bytes for the app before the destination's bytes; none if the destination's bytes are the answer.
    public var established: [UInt8] { forward == nil ? SocksReply.succeeded.encoded(via: via) : [] }

    /// The answer for a request without a path to an exit.
    public var withoutPath: [UInt8] {
        guard via == .http else { return answer(.networkUnreachable) }
        return HTTPAnswer.unavailable.encoded(withBody: forward?.isHead != true)
    }

    /// The answer for a request whose identity would exceed `limit` identities in use.
    public func beyondIdentities(_ limit: Int) -> [UInt8] {
        guard via == .http else { return answer(.generalFailure) }
        return HTTPAnswer.tooManyIdentities(limit).encoded(withBody: forward?.isHead != true)
    }

    /// The answer for a failed request.
    public func answer(_ failure: SocksReply) -> [UInt8] {
        forward?.isHead == true ? HTTPAnswer(failure).encoded(withBody: false) : failure.encoded(via: via)
    }
}

/// A user name and a password; any pair is accepted, as it only distinguishes applications.
///
/// SOCKS has up to 255 bytes of each (RFC 1929); in HTTP the head limits them.
public struct SocksCredentials: Hashable, Sendable {
    /// The user of the client's own checks, whose addresses are not those of apps.
    public static let checkUser = "tunic-check"
    /// The version of the user/password message.
    static let version: UInt8 = 1

    /// The user name, as received.
    public var user: [UInt8]
    /// The password, as received.
    public var password: [UInt8]

    /// The pair of `user` and `password`.
    public init(user: [UInt8], password: [UInt8]) {
        self.user = user
        self.password = password
    }
}

/// The methods of authentication (RFC 1928, section 3).
enum SocksMethod {
    /// The first byte of a greeting, a request and a reply.
    static let version: UInt8 = 5
    /// No authentication.
    static let none: UInt8 = 0
    /// User name and password.
    static let userPassword: UInt8 = 2
    /// The answer if no offered method is acceptable.
    static let noneAcceptable: UInt8 = 0xff
}

/// The types of address (RFC 1928, section 5).
enum SocksAddressType: UInt8 {
    case v4 = 1
    case name = 3
    case v6 = 4
}
