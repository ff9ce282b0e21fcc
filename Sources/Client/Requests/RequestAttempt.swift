internal import Requests
internal import Sessions
internal import Transport
internal import Wire

/// The stream of one attempt at an onion request: sends the request and reads the reply.
final class RequestAttempt: StreamUser {
    private let session: Session
    private let id: StreamID
    private let request: [UInt8]
    private var sent = 0
    private var answer: [UInt8] = []
    /// Called once, with all received bytes or with nil; nil after that, and when the attempt was cancelled.
    private var done: (([UInt8]?) -> Void)?

    /// Sends `request` on a new stream of `session`; `done` later gets the whole reply, or nil if the stream breaks.
    init(_ request: [UInt8], on session: Session, done: @escaping ([UInt8]?) -> Void) throws(StreamError) {
        self.session = session
        self.request = request
        self.done = done
        id = try session.connection.openStream()
        session.attach(self, to: id)
        write()
    }

    var heldBytes: Int { request.count - sent + answer.count }

    private func write() {
        let bytes = request
        guard sent < bytes.count else { return }
        sent += session.connection.write(id, bytes.rawSpan.extracting(sent..<bytes.count))
        if sent == bytes.count { session.connection.finish(id) }
        session.touch()
    }

    func streamReadable() {
        guard done != nil else { return }
        var isTooLong = false
        var count = 1
        while count > 0, !isTooLong {
            count = session.connection.withReadable(id) { span in
                isTooLong = span.byteCount > OuterAnswer.longestForClient - answer.count
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

    func streamWritable() { write() }
    func streamReset(code: UInt64) { fail() }
    /// The transport has reset this end's half, but the proxy may still answer.
    func streamStopped(code: UInt64) { sent = request.count }
    func streamClosed() { end(nil) }
    /// `RequestClient` is told of the session's end separately.
    func sessionEnded() { done = nil }

    /// Cancels the attempt without calling `done`.
    func cancel() {
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
