internal import Sessions
internal import Wire

/// Serves the streams of one kind that peers open in this node's sessions.
protocol StreamService {
    /// Begins to serve `stream`, whose opener asks for `request`.
    ///
    /// Returns the stream's user from now on; nil where the stream is refused already.
    func open(_ request: OpenRequest, on stream: HostedStream) -> (any StreamUser)?
}

/// Which service has the streams of a kind; streams of another kind are refused.
struct StreamServices {
    /// The kinds of an exit: none where the node is none.
    let exit: [OpenRequest.Kind: any StreamService]
    /// Onion requests, which every node takes.
    let requests: RequestService
}
