internal import Requests
internal import Sessions
internal import Transport
internal import Wire

/// A stream that a peer has opened in a session of this node.
///
/// It reads the request and hands the stream to the service of that kind. To the service it is the way to answer.
final class HostedStream: StreamUser {
    /// The stream in its session.
    let id: StreamID
    /// Whom what is opened for it counts for.
    let share: StreamShare
    private weak var owner: HostedSession?
    private let services: StreamServices
    private var hasRequest = false
    private(set) var isOver = false

    /// The stream `id` of `session`, for one of `services`.
    init(_ id: StreamID, of session: HostedSession, services: StreamServices) {
        self.id = id
        share = session.share
        owner = session
        self.services = services
    }

    /// The session; nil once the stream is over.
    var session: Session? { isOver ? nil : owner?.session }

    // MARK: Request

    /// Reads the request as soon as all of it is there.
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
        // It may have been answered already.
        if let user = service.open(request, on: self), let session { session.attach(user, to: id) }
    }

    /// An onion request has no head of its own: its service reads all of the stream.
    private func openRequest(in session: Session) {
        guard let owner else { return }
        let user = RequestStream(self, session: owner.number, on: session.turn.loop, for: services.requests)
        session.attach(user, to: id)
        user.streamReadable()
    }

    // MARK: Answers

    /// Says that the stream is open: what the user writes follows.
    func accept() {
        guard let session else { return }
        _ = session.connection.write(id, OpenReply(status: .ok).encoded().rawSpan)
        session.touch()
    }

    /// Tells the peer why the stream is not served, and takes no more.
    func refuse(_ status: OpenReply.Status) { end(with: OpenReply(status: status).encoded()) }

    /// Sends the last of what the peer gets here, and takes no more.
    func end(with answer: [UInt8] = []) {
        guard let session else { return }
        Self.end(id, in: session, with: answer)
        finish()
    }

    /// Ends a stream of `session` behind `answer`.
    static func end(_ id: StreamID, in session: Session, with answer: [UInt8]) {
        if !answer.isEmpty { _ = session.connection.write(id, answer.rawSpan) }
        session.connection.finish(id)
        session.connection.stopSending(id, code: SessionError.cancelled)
        session.touch()
    }

    /// Gives the stream up, which its peer or its session has ended.
    func abandon() {
        session?.abandon(id, code: SessionError.cancelled)
        finish()
    }

    /// Nothing is held for the stream any more: it counts no longer for its session.
    func finish() {
        guard !isOver else { return }
        isOver = true
        owner?.streamEnded()
    }

    // MARK: Events before there is a service

    func streamWritable() {}
    func streamReset(code: UInt64) { abandon() }
    func streamStopped(code: UInt64) { abandon() }
    func streamClosed() { abandon() }
    func sessionEnded() { abandon() }
}
