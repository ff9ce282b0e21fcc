internal import EventLoop
internal import Sessions
internal import Wire

/// A stream to a TCP destination: look-up, connection, then bytes in both directions.
///
/// The destination is kept only until the connection is up, and appears in no log.
final class ExitConnection: StreamUser, PlaceHolder {
    /// Opens TCP connections.
    struct Service: StreamService {
        let exit: Exit

        func open(_ request: OpenRequest, on stream: HostedStream) -> (any StreamUser)? {
            let connection = ExitConnection(stream, exit)
            connection.open(request.destination)
            return connection
        }
    }

    private enum State {
        case resolving(ExitResolver.Query)
        case connecting(ConnectionRace)
        case open(StreamPump)
        case over
    }

    private let exit: Exit
    private let stream: HostedStream
    private var state: State?
    /// The end of opening; then the moment from which the kernel probes an idle destination; after the stream's end, the
    /// end of the wait for the socket.
    private var deadline: LoopTimer?
    /// The bytes that the socket had not written when its stream ended, or at the last look; nil before.
    private var unwritten: Int?

    private init(_ stream: HostedStream, _ exit: Exit) {
        self.stream = stream
        self.exit = exit
    }

    private var isOver: Bool { if case .over = state { true } else { false } }
    private var pump: StreamPump? { if case .open(let pump) = state { pump } else { nil } }

    // MARK: Opening

    private func open(_ destination: Destination) {
        deadline = LoopTimer(on: exit.loop) { [weak self] in self?.timeIsUp() }
        deadline?.schedule(at: (Instant(nanoseconds: exit.loop.now) + Exit.openLimit).nanoseconds)
        switch destination.host {
        case .address(let address):
            connect(to: [SocketAddress(high: address.high, low: address.low, port: destination.port)])
        case .name(let name):
            let query = exit.resolver.resolve(name, port: destination.port, for: stream.share) { [weak self] answer in
                guard let self, !isOver else { return }
                switch answer {
                case .success(let addresses): connect(to: addresses)
                case .failure(let error): refuse(.init(error))
                }
            }
            // The session has no look-up left.
            guard let query else { return refuse(.generalFailure) }
            state = .resolving(query)
        }
    }

    /// Connects to the addresses that the policy allows.
    ///
    /// The policy judges the address that is connected to, whatever the name.
    private func connect(to addresses: [SocketAddress]) {
        let allowed = addresses.filter {
            exit.policy.allows(IPAddress(high: $0.high, low: $0.low), port: $0.port, .tcp)
        }
        guard !allowed.isEmpty else { return refuse(addresses.isEmpty ? .hostNotFound : .notAllowed) }
        guard stream.session != nil, exit.sockets.enter(self, for: stream.share) else {
            return refuse(.generalFailure)
        }
        let race = ConnectionRace(on: exit.loop, to: allowed) { [weak self] result in
            switch result {
            case .success(let socket): if let self { connected(socket) } else { socket.close() }
            case .failure(let error): self?.refuse(.init(error))
            }
        }
        state = .connecting(race)
        race.start()
    }

    private func connected(_ socket: ByteStream) {
        guard let session = stream.session, !isOver else { return socket.close() }
        deadline?.schedule(at: (Instant(nanoseconds: exit.loop.now) + Exit.probedAfter).nanoseconds)
        stream.accept()
        // The closure keeps this object alive. The session releases a stream that has ended both ways while the socket
        // may still have bytes to write.
        let pump = StreamPump(
            session: session, id: stream.id, socket: socket,
            onActivity: { [weak self] in
                if let self { exit.sockets.noteActivity(of: self) }
            }, ended: { self.finish() })
        state = .open(pump)
        pump.start()
    }

    // MARK: Ends

    private func refuse(_ status: OpenReply.Status) {
        stream.refuse(status)
        finish()
    }

    /// Ends a stream that the client gave up before the connection was up.
    private func abandon() {
        stream.abandon()
        finish()
    }

    /// Ends the connection, because another source needs its socket.
    ///
    /// The client and the destination are told.
    func giveWay() {
        if let pump { pump.fail() } else { refuse(.generalFailure) }
    }

    private func finish() {
        switch state {
        case .over: return
        case .resolving(let query): exit.resolver.cancel(query)
        case .connecting(let race): race.cancel()
        case .open, nil: break
        }
        state = .over
        deadline?.close()
        deadline = nil
        exit.sockets.leave(self)
        exit.flushing.leave(self)
        stream.finish()
    }

    /// Waits until the socket has written what it holds of a stream that both sides have ended.
    ///
    /// Until then the session counts these bytes.
    private func flush(_ pump: StreamPump, of session: Session) {
        session.attach(self, to: stream.id)
        unwritten = pump.heldBytes
        deadline?.schedule(at: (Instant(nanoseconds: exit.loop.now) + Exit.flushLimit).nanoseconds)
    }

    private func timeIsUp() {
        switch state {
        case .resolving, .connecting, nil: refuse(.timeout)
        case .open(let pump): if unwritten == nil { pump.keepAlive() } else { look() }
        case .over: break
        }
    }

    /// Ends the connection if no byte has moved since the last look.
    private func look() {
        guard let pump, let before = unwritten, pump.heldBytes < before else { return fail() }
        unwritten = pump.heldBytes
        deadline?.schedule(at: (Instant(nanoseconds: exit.loop.now) + Exit.flushLimit).nanoseconds)
    }

    // MARK: Events

    var heldBytes: Int { pump?.heldBytes ?? 0 }

    func streamReadable() { pump?.toSocket() }
    func streamWritable() { pump?.toSession() }
    func streamReset(code: UInt64) { fail() }
    func streamStopped(code: UInt64) { fail() }

    func sessionEnded() {
        // No session counts the socket's bytes any more.
        guard unwritten != nil, exit.flushing.enter(self, for: stream.share) else { return fail() }
    }

    func streamClosed() {
        guard let pump else { return abandon() }
        pump.streamClosed()
        if !isOver, let session = stream.session { flush(pump, of: session) }
    }

    private func fail() {
        if let pump { pump.fail() } else { abandon() }
    }
}
