internal import EventLoop
internal import Sessions
internal import Transport
internal import Wire

/// A stream through an exit, bridged to a socket whose other end code of this process holds.
///
/// The client owns it until it has ended.
final class AppSocket: StreamRequestOwner, StreamUser {
    private enum State {
        case requested(StreamRequest)
        case connected(StreamPump)
        case over
    }

    private let socket: ByteStream
    /// Called once: with nil when the exit is connected, else with the failure.
    private var told: ((AppStream.Failure?) -> Void)?
    private let ended: (AppSocket) -> Void
    private var state = State.over

    init(_ socket: ByteStream, told: @escaping (AppStream.Failure?) -> Void, ended: @escaping (AppSocket) -> Void) {
        self.socket = socket
        self.told = told
        self.ended = ended
    }

    func begin(_ request: StreamRequest) {
        state = .requested(request)
        request.begin()
    }

    func takeEarlyBytes() -> [UInt8]? { [] }
    var endsEarly: Bool { false }

    func streamOpened(_ stream: StreamID, on session: Session, unsent: [UInt8]) {
        guard case .requested = state else { return session.abandon(stream, code: SessionError.cancelled) }
        let pump = StreamPump(session: session, id: stream, socket: socket) { [weak self] in self?.over(.broken) }
        session.attach(self, to: stream)
        state = .connected(pump)
        told?(nil)
        told = nil
        pump.start()
    }

    func streamFound(_ result: LookupResult) { fail(.broken) }
    func streamFailed(_ failure: StreamFailure) { fail(AppStream.Failure(failure)) }

    func streamReadable() { if case .connected(let pump) = state { pump.toSocket() } }
    func streamWritable() { if case .connected(let pump) = state { pump.toSession() } }
    func streamReset(code: UInt64) { end() }
    func streamStopped(code: UInt64) { end() }
    func streamClosed() { if case .connected(let pump) = state { pump.streamClosed() } }
    func sessionEnded() { end() }

    /// Ends the stream if its app is gone but has not closed it; to be called once a minute.
    func look(_ now: Instant) { if case .connected(let pump) = state { pump.look(now) } }

    /// Ends the stream if no exit has answered yet.
    func giveUp() { if case .requested = state { fail(.broken) } }

    /// Ends the stream in any state.
    func end() { if case .connected(let pump) = state { pump.fail() } else { fail(.broken) } }

    private func fail(_ failure: AppStream.Failure) {
        socket.close()
        over(failure)
    }

    /// Ends the stream, whose socket is closed already, and reports `failure` if nothing was reported before.
    private func over(_ failure: AppStream.Failure) {
        let last = state
        state = .over
        if case .requested(let request) = last { request.cancel() }
        told?(failure)
        told = nil
        ended(self)
    }
}

extension AppStream.Failure {
    init(_ failure: StreamFailure) {
        switch failure {
        case .noSession(.noPath): self = .noPath
        case .noSession(.tooManyIdentities): self = .tooManyIdentities
        case .timedOut: self = .timedOut
        case .refused(let status): self = .refused(status)
        case .broken: self = .broken
        }
    }
}
