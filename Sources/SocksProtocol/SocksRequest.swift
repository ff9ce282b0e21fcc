public import Wire

/// What an application asks for.
public struct SocksRequest: Hashable, Sendable {
    /// What is to be done with the destination.
    public enum Command: UInt8, Sendable, CaseIterable {
        /// Connect to it (RFC 1928).
        case connect = 1
        /// Wait for a connection from it (RFC 1928).
        case bind = 2
        /// Carry datagrams; the destination is where they will come from, mostly all zero (RFC 1928).
        case udpAssociate = 3
        /// Resolve the name (Tor's extension).
        case resolve = 0xf0
        /// Find the name of the address (Tor's extension).
        case resolvePointer = 0xf1
    }

    /// What is to be done.
    public var command: Command
    /// With what; a name that is an IP literal has become that address.
    ///
    /// The port of CONNECT is not 0, that of the others may be.
    public var destination: Destination
    /// What the client gave as user and password: applications with different ones never share a path.
    ///
    /// The user id of SOCKS4 is a user without a password, and an empty one is none.
    public var credentials: SocksCredentials?
    /// What the client speaks, and is to be answered in.
    public var via: ProxyProtocol
    /// What goes to the destination, where an http: URL was asked for; nil where the app speaks to it by itself.
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

    /// What the app gets before the destination's bytes: nothing where those are the answer.
    public var established: [UInt8] { forward == nil ? SocksReply.succeeded.encoded(via: via) : [] }

    /// What the app is told when there is no path to an exit.
    public var withoutPath: [UInt8] {
        guard via == .http else { return answer(.networkUnreachable) }
        return HTTPAnswer.unavailable.encoded(withBody: forward?.isHead != true)
    }

    /// What the app is told when `limit` identities are in use and its own would be one more.
    public func beyondIdentities(_ limit: Int) -> [UInt8] {
        guard via == .http else { return answer(.generalFailure) }
        return HTTPAnswer.tooManyIdentities(limit).encoded(withBody: forward?.isHead != true)
    }

    /// What the app is told when it does not get what it asks for.
    public func answer(_ failure: SocksReply) -> [UInt8] {
        forward?.isHead == true ? HTTPAnswer(failure).encoded(withBody: false) : failure.encoded(via: via)
    }
}

/// A user name and a password; any pair is accepted, it only tells applications apart.
///
/// SOCKS has up to 255 bytes of each (RFC 1929), HTTP what fits into a head.
public struct SocksCredentials: Hashable, Sendable {
    /// The user as whom a check of the client itself comes, whose addresses are no app's.
    public static let checkUser = "tunic-check"
    /// The version of the user/password message.
    static let version: UInt8 = 1

    /// The user name, as it came.
    public var user: [UInt8]
    /// The password, as it came.
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
    /// The answer where no offered method will do.
    static let noneAcceptable: UInt8 = 0xff
}

/// The types of address (RFC 1928, section 5).
enum SocksAddressType: UInt8 {
    case v4 = 1
    case name = 3
    case v6 = 4
}
