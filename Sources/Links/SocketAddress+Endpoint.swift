public import EventLoop
public import Wire

extension SocketAddress {
    /// The socket address of `endpoint`.
    public init(_ endpoint: Endpoint) {
        self.init(high: endpoint.address.high, low: endpoint.address.low, port: endpoint.port)
    }
}

extension Endpoint {
    /// The endpoint of a socket address.
    public init(_ address: SocketAddress) {
        self.init(address: IPAddress(high: address.high, low: address.low), port: address.port)
    }
}
