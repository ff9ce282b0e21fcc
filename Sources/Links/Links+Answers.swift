internal import Transport

/// Answers that are on their way.
extension Links {
    /// Whether a message still waits for its answer, or the peer has not acknowledged all of it; false when the link is gone.
    public func isAnswering(_ responder: ControlResponder) -> Bool {
        guard let link = find(responder.link), link.isOpen else { return false }
        let stream = StreamID(responder.stream)
        return link.incoming[stream] != nil || link.connection.unacknowledgedCount(stream) > 0
    }

    /// Ends an answer that the peer does not read: what is left of it is dropped, and its stream reset.
    public func abandon(_ responder: ControlResponder) {
        guard isAnswering(responder), let link = find(responder.link) else { return }
        link.refuse(StreamID(responder.stream))
        markDirty(link)
    }
}
