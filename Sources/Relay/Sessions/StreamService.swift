internal import Sessions
internal import Wire

/// Serves the streams of one kind that peers open in this node's sessions.
protocol StreamService {
    /// Begins to serve `stream`, whose opener requests `request`.
    ///
    /// Returns the stream's user from now on, or nil if the stream was refused already.
    func open(_ request: OpenRequest, on stream: HostedStream) -> (any StreamUser)?
}

/// The service of each kind of stream; streams of other kinds are refused.
struct StreamServices {
    /// The services of an exit by kind; empty if the node is not an exit.
    let exit: [OpenRequest.Kind: any StreamService]
    /// Serves onion requests, which every node accepts.
    let requests: RequestService
}
