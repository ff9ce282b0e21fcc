internal import EventLoop
internal import Links
public import Wire

/// Where apps are awaited.
public enum ProxyAddress: Hashable, Sendable, CustomStringConvertible {
    /// A TCP port; 0 picks a free one.
    case tcp(Endpoint)
    /// A unix socket of mode 0600 at this path.
    case unix(String)

    /// A socket that the process was given listening, such as by systemd; below 0, it was not.
    case inherited(String, descriptor: Int32)

    /// The address as it is given: `127.0.0.1:1080`, or `unix:` and a path.
    public var description: String {
        switch self {
        case .tcp(let endpoint): endpoint.description
        case .unix(let path): "unix:\(path)"
        case .inherited(let name, _): "systemd:\(name)"
        }
    }

    /// The TCP port, if it is one.
    public var endpoint: Endpoint? { if case .tcp(let endpoint) = self { endpoint } else { nil } }

    /// Listens there; ``StreamListener/unix(on:path:group:backlog:onAccept:)`` says what becomes of a file that is there already.
    func listen(on loop: Loop, onAccept: @escaping (ByteStream) -> Void) throws(UVError) -> StreamListener {
        switch self {
        case .tcp(let endpoint):
            try .tcp(on: loop, address: SocketAddress(endpoint), onAccept: onAccept)
        case .unix(let path):
            try .unix(on: loop, path: path, backlog: 511, onAccept: onAccept)
        case .inherited(_, let descriptor):
            // What was given stays open, so that it can be taken again after a time without it.
            try .adopted(on: loop, descriptor: descriptor, onAccept: onAccept)
        }
    }
}
