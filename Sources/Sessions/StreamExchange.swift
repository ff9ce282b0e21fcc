public import Transport
internal import Wire

/// One request and its whole reply, on a stream of its own.
public final class StreamExchange: StreamUser {
    private let session: Session
    private let id: StreamID
    private let request: [UInt8]
    /// The longest reply in bytes; a longer one breaks the stream.
    private let longest: Int
    private var sent = 0
    private var answer: [UInt8] = []
    /// Called once, with all received bytes or with nil; nil after that, and when the exchange was cancelled.
    private var done: (([UInt8]?) -> Void)?

    /// Sends `request` on a new stream of `session`; `done` later gets the whole reply, or nil if the stream breaks.
    ///
    /// It is not called when the session ends.
    public init(
        _ request: [UInt8], on session: Session, longest: Int, done: @escaping ([UInt8]?) -> Void
    ) throws(StreamError) {
        self.session = session
        self.request = request
        self.longest = longest
        self.done = done
        id = try session.connection.openStream()
        session.attach(self, to: id)
        write()
    }

    /// The bytes of the request that are not sent yet, and those of the reply.
    public var heldBytes: Int { request.count - sent + answer.count }

    private func write() {
        let bytes = request
        guard sent < bytes.count else { return }
        sent += session.connection.write(id, bytes.rawSpan.extracting(sent..<bytes.count))
        if sent == bytes.count { session.connection.finish(id) }
        session.touch()
    }

    /// Reads the reply.
    public func streamReadable() {
        guard done != nil else { return }
        var isTooLong = false
        var count = 1
        while count > 0, !isTooLong {
            count = session.connection.withReadable(id) { span in
                isTooLong = span.byteCount > longest - answer.count
                guard !isTooLong else { return 0 }
                answer.append(contentsOf: [UInt8](copying: span))
                return span.byteCount
            }
        }
        session.touch()
        guard !isTooLong else { return fail() }
        switch session.connection.readState(id) {
        case .open: break
        case .finished, .unknown: end(answer)
        case .reset: fail()
        }
    }

    /// Sends more of the request.
    public func streamWritable() { write() }
    /// Ends the exchange without a reply.
    public func streamReset(code: UInt64) { fail() }
    /// The transport has reset this end's half, but the peer may still answer.
    public func streamStopped(code: UInt64) { sent = request.count }
    /// Ends the exchange.
    public func streamClosed() { end(nil) }
    /// Ends the exchange without calling `done`: the owner of the session knows.
    public func sessionEnded() { done = nil }

    /// Cancels the exchange without calling `done`.
    public func cancel() {
        guard done != nil else { return }
        done = nil
        session.abandon(id, code: SessionError.cancelled)
    }

    private func fail() {
        guard done != nil else { return }
        session.abandon(id, code: SessionError.cancelled)
        end(nil)
    }

    private func end(_ bytes: [UInt8]?) {
        let told = done
        done = nil
        told?(bytes)
    }
}
