internal import Requests
internal import Sessions
internal import Transport
internal import Wire

/// A stream that a peer has opened in a session of this node.
///
/// It reads the open request and hands the stream to the service for its kind. The service answers through this object.
final class HostedStream: StreamUser {
    /// The stream in its session.
    let id: StreamID
    /// The share that everything opened for the stream counts for.
    let share: StreamShare
    private weak var owner: HostedSession?
    private let services: StreamServices
    private var hasRequest = false
    /// Whether a service has taken it.
    private var isServed = false
    private(set) var isOver = false

    /// The stream `id` of `session`.
    ///
    /// One of `services` will serve it.
    init(_ id: StreamID, of session: HostedSession, services: StreamServices) {
        self.id = id
        share = session.share
        owner = session
        self.services = services
    }

    /// The session; nil once the stream has ended.
    var session: Session? { isOver ? nil : owner?.session }

    // MARK: Request

    /// Reads the open request once it is complete.
    func streamReadable() {
        guard !hasRequest, let session else { return }
        var request: OpenRequest?
        var isBad = false
        var isOnionRequest = false
        session.connection.withReadable(id) { bytes in
            isOnionRequest = RequestOpen.begins(bytes)
            guard !isOnionRequest else { return 0 }
            do throws(WireError) {
                guard let found = try OpenRequest.decode(from: bytes) else { return 0 }
                request = found.request
                return found.consumed
            } catch {
                isBad = true
                return 0
            }
        }
        if isOnionRequest {
            hasRequest = true
            openRequest(in: session)
        } else if let request {
            hasRequest = true
            open(request)
        } else if isBad || session.connection.readState(id) != .open {
            refuse(.generalFailure)
        }
    }

    private func open(_ request: OpenRequest) {
        guard let service = services.exit[request.kind] else { return refuse(.notAllowed) }
        // The service may have answered the stream already.
        if let user = service.open(request, on: self), let session { serve(user, in: session) }
    }

    private func serve(_ user: any StreamUser, in session: Session) {
        isServed = true
        owner?.streamServed()
        session.attach(user, to: id)
    }

    /// Hands the stream to the service of onion requests, which have no open request and are read as a whole.
    private func openRequest(in session: Session) {
        guard let owner else { return }
        let user = RequestStream(self, session: owner.number, on: session.turn.loop, for: services.requests)
        serve(user, in: session)
        user.streamReadable()
    }

    // MARK: Answers

    /// Tells the peer that the stream is open; the service may write to it from then on.
    func accept() {
        guard let session else { return }
        _ = session.connection.write(id, OpenReply(status: .ok).encoded().rawSpan)
        session.touch()
    }

    /// Tells the peer why the stream is not served, and ends it.
    func refuse(_ status: OpenReply.Status) { end(with: OpenReply(status: status).encoded()) }

    /// Sends the last bytes to the peer, and ends the stream.
    func end(with answer: [UInt8] = []) {
        guard let session else { return }
        Self.end(id, in: session, with: answer)
        finish()
    }

    /// Ends a stream of `session` after `answer`.
    static func end(_ id: StreamID, in session: Session, with answer: [UInt8]) {
        if !answer.isEmpty { _ = session.connection.write(id, answer.rawSpan) }
        session.connection.finish(id)
        session.connection.stopSending(id, code: SessionError.cancelled)
        session.touch()
    }

    /// Ends a stream that its peer or its session has ended.
    func abandon() {
        session?.abandon(id, code: SessionError.cancelled)
        finish()
    }

    /// To be called when the stream no longer holds resources, so that it no longer counts for its session.
    func finish() {
        guard !isOver else { return }
        isOver = true
        owner?.streamEnded(wasServed: isServed)
    }

    // MARK: Events before a service is attached

    func streamWritable() {}
    func streamReset(code: UInt64) { abandon() }
    func streamStopped(code: UInt64) { abandon() }
    func streamClosed() { abandon() }
    func sessionEnded() { abandon() }
}
