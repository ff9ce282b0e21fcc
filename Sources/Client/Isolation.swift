internal import SocksProtocol
internal import Wire

/// What keeps apart the streams of apps that come to one address of the client.
public struct Isolation: OptionSet, Hashable, Sendable {
    /// The flags as bits.
    public let rawValue: UInt8
    /// The flags whose bits are set in `rawValue`.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// User and password, where the app gives them.
    public static let credentials = Isolation(rawValue: 1)
    /// The address of the client that the app came to.
    public static let listener = Isolation(rawValue: 2)
    /// What the app speaks: SOCKS4, SOCKS5 or HTTP.
    public static let proxyProtocol = Isolation(rawValue: 4)
    /// The host that the app asks for; a UDP association, which has none, shares with nothing.
    public static let destinationHost = Isolation(rawValue: 8)
    /// The port that the app asks for; a UDP association, which has none, shares with nothing.
    public static let destinationPort = Isolation(rawValue: 16)
    /// The address that the app comes from.
    public static let clientAddress = Isolation(rawValue: 32)

    /// What is kept apart unless something else is said.
    public static let standard: Isolation = [.credentials, .listener, .proxyProtocol]
}

/// What keeps streams apart: those of different keys never share a path.
struct IsolationKey: Hashable {
    /// Which of the client's addresses the app came to.
    var listener: Int?
    /// What the app speaks; nil for what comes by DNS, too.
    var via: ProxyProtocol?
    /// The user and password that the app gave, if it did.
    var credentials: SocksCredentials?
    /// The host that it asked for.
    var host: Destination.Host?
    /// The port that it asked for.
    var port: UInt16?
    /// Where the app is.
    var client: IPAddress?
    /// Which UDP association it is, where associations are not to share.
    var association: UInt64?
    /// Whether it is for look-ups of the client's DNS port.
    var isDNS = false
    /// What the process's own streams are kept apart by.
    var ownStreams: [UInt8]?
    /// What its exit must have beside TCP, where the exit of the key without this has it not.
    var needs: Descriptor.ExitSummary = []

    /// The key as apps see it: with a second exit for what the first lacks it is still one.
    var shown: IsolationKey {
        var key = self
        key.needs = []
        return key
    }

    /// The key for the look-ups that come to the client's DNS address number `listener`.
    init(dns listener: Int) {
        self.listener = listener
        isDNS = true
    }

    /// The key for streams that code of this process opens itself, under `name`.
    init(ownStreams name: String) { ownStreams = Array(name.utf8) }

    /// The key of a request that came to the address number `listener`, as `isolation` says.
    ///
    /// `association` is unique for each UDP association.
    init(
        _ request: SocksRequest, listener: Int, client: IPAddress?, isolation: Isolation, association: UInt64
    ) {
        if isolation.contains(.listener) { self.listener = listener }
        if isolation.contains(.proxyProtocol) { via = request.via }
        if isolation.contains(.credentials) { credentials = request.credentials }
        if isolation.contains(.clientAddress) { self.client = client }
        if request.command == .udpAssociate {
            if !isolation.isDisjoint(with: [.destinationHost, .destinationPort]) { self.association = association }
        } else {
            if isolation.contains(.destinationHost) { host = request.destination.host }
            if isolation.contains(.destinationPort) { port = request.destination.port }
        }
    }
}
