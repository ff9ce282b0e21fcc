internal import EventLoop
internal import Links
public import Wire

/// An address at which apps can connect.
public enum ProxyAddress: Hashable, Sendable, CustomStringConvertible {
    /// A TCP port; 0 picks a free one.
    case tcp(Endpoint)
    /// A unix socket of mode 0600 at this path.
    case unix(String)

    /// A listening socket that the process inherited, for example from systemd; negative if it did not.
    case inherited(String, descriptor: Int32)

    /// The address in configuration-file syntax, such as `127.0.0.1:1080`, or `unix:` and a path.
    public var description: String {
        switch self {
        case .tcp(let endpoint): endpoint.description
        case .unix(let path): "unix:\(path)"
        case .inherited(let name, _): "systemd:\(name)"
        }
    }

    /// The TCP address; nil for the other kinds.
    public var endpoint: Endpoint? { if case .tcp(let endpoint) = self { endpoint } else { nil } }

    /// Listens at the address.
    ///
    /// ``StreamListener/unix(on:path:group:backlog:onAccept:)`` says what happens to an existing file.
    func listen(on loop: Loop, onAccept: @escaping (ByteStream) -> Void) throws(UVError) -> StreamListener {
        switch self {
        case .tcp(let endpoint):
            try .tcp(on: loop, address: SocketAddress(endpoint), onAccept: onAccept)
        case .unix(let path):
            try .unix(on: loop, path: path, backlog: 511, onAccept: onAccept)
        case .inherited(_, let descriptor):
            // The inherited descriptor stays open, so that the address can be opened again later.
            try .adopted(on: loop, descriptor: descriptor, onAccept: onAccept)
        }
    }
}
