internal import SocksProtocol
internal import Wire

/// The attributes that separate the streams of apps at one proxy address.
public struct Isolation: OptionSet, Hashable, Sendable {
    /// The flags as bits.
    public let rawValue: UInt8
    /// The flags whose bits are set in `rawValue`.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// User and password, if the app sends them.
    public static let credentials = Isolation(rawValue: 1)
    /// The address of the client that the app connected to.
    public static let listener = Isolation(rawValue: 2)
    /// The app's protocol: SOCKS4, SOCKS5 or HTTP.
    public static let proxyProtocol = Isolation(rawValue: 4)
    /// The requested host; a UDP association has none, and shares with no other stream.
    public static let destinationHost = Isolation(rawValue: 8)
    /// The requested port; a UDP association has none, and shares with no other stream.
    public static let destinationPort = Isolation(rawValue: 16)
    /// The address of the app.
    public static let clientAddress = Isolation(rawValue: 32)

    /// The default.
    public static let standard: Isolation = [.credentials, .listener, .proxyProtocol]
}

/// A value that has no part in the equality of what contains it.
struct Uncompared<Value: Sendable>: Hashable, Sendable {
    var value: Value?

    static func == (a: Self, b: Self) -> Bool { true }
    func hash(into hasher: inout Hasher) {}
}

/// An isolation key: streams with different keys never share a path.
struct IsolationKey: Hashable {
    /// The number of the client's address that the app connected to.
    var listener: Int?
    /// The app's protocol; nil also for DNS look-ups.
    var via: ProxyProtocol?
    /// The user and password, if the app sent them.
    var credentials: SocksCredentials?
    /// The requested host.
    var host: Destination.Host?
    /// The requested port.
    var port: UInt16?
    /// The app's address.
    var client: IPAddress?
    /// The number of the UDP association, if associations must not share.
    var association: UInt64?
    /// Whether the key is for the look-ups of a DNS port.
    var isDNS = false
    /// The name that separates the process's own streams.
    var ownStreams: [UInt8]?
    /// The features beyond TCP that the exit must have, if the exit of the key without them lacks them.
    var needs: Descriptor.ExitSummary = []

    /// Who asks; keys that differ in this alone are equal.
    var owner = Uncompared<KeyOwner>()

    /// The key that users see: a second exit for missing features does not make it another key.
    var shown: IsolationKey {
        var key = self
        key.needs = []
        return key
    }

    /// The key without what a request asks for: one app has one source, however many hosts it asks for.
    ///
    /// A web page chooses hosts and ports, and so how many keys its browser has at a listener with `destination-host`.
    var source: IsolationKey {
        var key = shown
        (key.host, key.port, key.association) = (nil, nil, nil)
        return key
    }

    /// The key for the look-ups at the client's DNS address number `listener`.
    init(dns listener: Int) {
        self.listener = listener
        isDNS = true
    }

    /// The key for streams that code of this process opens itself, under `name`.
    init(ownStreams name: String) { ownStreams = Array(name.utf8) }

    /// The key of a request at the address number `listener`, with the attributes in `isolation`.
    ///
    /// `association` is unique for each UDP association.
    init(
        _ request: SocksRequest, listener: Int, client: IPAddress?, owner: KeyOwner?, isolation: Isolation,
        association: UInt64
    ) {
        self.owner.value = owner
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
