internal import EventLoop
internal import Links
internal import Sessions
internal import SocksProtocol
internal import Transport
internal import Wire

/// One app's connection to a proxy port, over SOCKS or HTTP: handshake, request, reply, then bytes both ways.
///
/// It fails closed: every failure ends in an error reply or a closed connection, never in a direct connection.
final class SocksConnection: ByteStreamDelegate, StreamUser, StreamRequestOwner {
    /// How long an app may take to read a refusal.
    private static let closeLimit = TimeSpan.seconds(5)

    private enum State {
        /// The app has not yet sent its request.
        case handshake
        /// An exit is being asked.
        case requested(SocksRequest, StreamRequest)
        /// Bytes go both ways.
        case connected(StreamPump)
        /// Datagrams go both ways, as long as the TCP connection is open.
        case associated(AppAssociation, StreamID)
        /// The last answer is being sent; further bytes of the app are not read.
        case closing
        case over
    }

    private let socket: ByteStream
    let listener: Int
    private weak var ports: ProxyPorts?
    private var state = State.handshake
    /// Whose app it is.
    let owner: KeyOwner
    private let since: Instant
    /// The session of an association.
    private weak var session: Session?
    private var handshake = SocksHandshake()
    /// Finds the end of the body of a request for a URL.
    private var body: HTTPBody?
    /// Ends an unfinished handshake, and a connection that is closing.
    private var deadline: LoopTimer?
    /// The number of the association as which the connection counts.
    private var association: UInt64?
    /// When the app ended its half.
    private var endedAt: Instant?
    private var hasEnded: Bool { endedAt != nil }

    /// Serves `socket` of `owner`, accepted at the address number `listener` of `ports`, which keep the connection
    /// until it is over.
    init(socket: ByteStream, of owner: KeyOwner, listener: Int, ports: ProxyPorts) {
        self.socket = socket
        self.owner = owner
        self.listener = listener
        self.ports = ports
        since = Instant(nanoseconds: socket.loop.now)
        setDeadline(ports.handshakeLimit)
        socket.delegate = self
        socket.startReading()
    }

    var isOver: Bool { if case .over = state { true } else { false } }

    /// Whether the app has not yet sent its request.
    var isUnfinished: Bool { if case .handshake = state { true } else { false } }

    /// The request to an exit; nil unless one is being asked.
    var request: StreamRequest? { if case .requested(_, let request) = state { request } else { nil } }

    private func setDeadline(_ span: TimeSpan?) {
        deadline?.close()
        deadline = span.map { span in
            let timer = LoopTimer(on: socket.loop) { [weak self] in self?.close() }
            timer.schedule(at: (Instant(nanoseconds: socket.loop.now) + span).nanoseconds)
            return timer
        }
    }

    // MARK: App

    /// The room for early bytes.
    ///
    /// Without room the socket is not read until the stream is open, and further bytes wait in the kernel.
    func streamReadLimit(_ stream: ByteStream) -> Int {
        switch state {
        case .handshake, .requested: handshake.room
        case .connected, .associated, .closing, .over: .max
        }
    }

    func stream(_ stream: ByteStream, received bytes: RawSpan) {
        switch state {
        case .handshake, .requested: break
        // On the connection of an association, bytes have no meaning; only its end does.
        case .connected, .associated, .closing, .over: return
        }
        switch handshake.receive(bytes) {
        case .wait(let send): answer(send)
        case .refuse(_, let send):
            answer(send)
            closeSoon()
        case .request(let found, let send):
            answer(send)
            guard isUnfinished else { return }
            requested(found)
        }
    }

    /// Answers a request that needs no exit, and asks an exit for any other.
    private func requested(_ found: SocksRequest) {
        guard let ports else { return close() }
        let kind: OpenRequest.Kind
        switch (found.command, found.destination.host) {
        case (.connect, .address), (.resolvePointer, .address):
            // The name of an address of the user's own network: as if there were none.
            if case (.resolvePointer, .address(let address)) = (found.command, found.destination.host),
                !ports.answers.allowsPrivate, !address.isPublic
            {
                return reply(found.answer(SocksReply(.hostNotFound)))
            }
            let isCheck = found.credentials?.user.elementsEqual(SocksCredentials.checkUser.utf8) ?? false
            guard ports.admits(found.destination.host, at: listener, isCheck: isCheck) else {
                return reply(found.answer(.notAllowed))
            }
            kind = found.command == .connect ? .tcp : .resolvePointer
        case (.connect, .name), (.resolve, .name):
            guard ports.answers.mayAsk(for: found.destination.host) else {
                return reply(found.answer(SocksReply(.hostNotFound)))
            }
            kind = found.command == .connect ? .tcp : .resolve
        case (.resolvePointer, .name): return reply(found.answer(.addressTypeNotSupported))
        // An address is its own answer.
        case (.resolve, .address): return reply(SocksReply.encoded(found: found.destination.host, via: found.via))
        case (.bind, _): return reply(found.answer(.commandNotSupported))
        case (.udpAssociate, _):
            // Any local process can send to a loopback port, but not to the unix socket that this app connected to.
            guard socket.kind == .tcp else { return reply(found.answer(.commandNotSupported)) }
            kind = .udp
        }
        if kind == .udp {
            association = ports.beginAssociation(for: owner) { [weak self] in self?.end() }
            guard association != nil else { return reply(found.answer(.generalFailure)) }
        }
        let isolation = IsolationKey(
            found, listener: listener, client: socket.remoteAddress.map { Endpoint($0).address }, owner: owner,
            isolation: ports.rules(of: listener).isolation, association: association ?? 0)
        let destination =
            switch kind {
            case .tcp: found.destination
            case .resolve, .resolvePointer, .records: Destination(host: found.destination.host, port: 0)
            case .udp: OpenRequest.unspecified
            }
        let request = StreamRequest(
            kind, destination, isolation: isolation, on: socket.loop, from: ports.sessions, for: self)
        state = .requested(found, request)
        body = found.forward?.body
        setDeadline(nil)
        request.begin()
    }

    private func answer(_ bytes: [UInt8]) {
        guard !bytes.isEmpty, !isOver else { return }
        do throws(UVError) { try socket.write(bytes) } catch { close() }
    }

    func streamReachedEnd(_ stream: ByteStream) {
        endedAt = Instant(nanoseconds: stream.loop.now)
        switch state {
        case .handshake, .associated: close()
        case .requested, .connected, .closing, .over: break
        }
    }

    func stream(_ stream: ByteStream, failed error: UVError) { close() }

    func streamFinishedWriting(_ stream: ByteStream) {
        // Nothing follows a refusal: further bytes of the app are not read.
        close()
    }

    // MARK: Request

    var endsEarly: Bool { hasEnded }

    func takeEarlyBytes() -> [UInt8]? {
        guard case .requested(let found, let request) = state else { return nil }
        socket.stopReading()
        let sent = handshake.takeEarlyData()
        // Only a connection has a destination for early bytes.
        guard request.kind == .tcp else { return [] }
        guard let head = found.forward?.head else { return sent }
        guard let count = takeBody(sent.rawSpan) else {
            reply(SocksError.badHead.answer(via: found.via))
            return nil
        }
        return head + sent.prefix(count)
    }

    /// How many of the app's next bytes belong to the body of its request; nil if they are not a valid body.
    private func takeBody(_ bytes: RawSpan) -> Int? {
        do throws(SocksError) { return try body?.take(bytes) } catch { return nil }
    }

    func streamOpened(_ stream: StreamID, on session: Session, unsent: [UInt8]) {
        guard case .requested(let found, let request) = state else {
            return session.abandon(stream, code: SessionError.cancelled)
        }
        session.attach(self, to: stream)
        if request.kind == .udp {
            associate(found, stream, session)
        } else {
            connect(found, stream, session, unsent)
        }
    }

    private func connect(_ found: SocksRequest, _ stream: StreamID, _ session: Session, _ unsent: [UInt8]) {
        let admit = found.forward.map { _ in { [weak self] (bytes: RawSpan) -> Int? in self?.takeBody(bytes) } }
        let pump = StreamPump(session: session, id: stream, socket: socket, admit: admit) { [weak self] in self?.over()
        }
        answer(found.established)
        guard !isOver else { return session.abandon(stream, code: SessionError.cancelled) }
        state = .connected(pump)
        pump.start(early: unsent, hasEnded: hasEnded)
    }

    func streamFound(_ result: LookupResult) {
        guard case .requested(let found, _) = state else { return }
        switch result {
        case .host(.address(let address)) where ports?.answers.mayTell(address) != true:
            reply(found.answer(.notAllowed))
        case .host(let host): reply(SocksReply.encoded(found: host, via: found.via))
        case .records: reply(found.answer(.generalFailure))
        }
    }

    func streamFailed(_ failure: StreamFailure) {
        guard case .requested(let found, _) = state else { return }
        switch failure {
        case .noSession(.noPath): reply(found.withoutPath)
        case .noSession(.tooManyIdentities(let limit)): reply(found.beyondIdentities(limit))
        case .timedOut: reply(found.answer(.ttlExpired))
        case .refused(let status): reply(found.answer(SocksReply(status)))
        case .broken: reply(found.answer(.generalFailure))
        }
    }

    // MARK: Session

    func streamReadable() {
        switch state {
        case .connected(let pump): pump.toSocket()
        case .associated(_, let stream):
            guard let session else { return close() }
            // After the status the exit sends only the end of its half, when its side is over.
            session.connection.withReadable(stream) { $0.byteCount }
            if session.connection.readState(stream) != .open { close() }
        case .handshake, .requested, .closing, .over: break
        }
    }

    func streamWritable() { if case .connected(let pump) = state { pump.toSession() } }

    func streamReset(code: UInt64) { end() }
    func streamStopped(code: UInt64) { end() }
    func sessionEnded() { end() }

    func streamClosed() {
        if case .connected(let pump) = state { pump.streamClosed() } else { end() }
    }

    // MARK: UDP

    /// Opens the app's port and tells the app, now that the exit has its sockets.
    private func associate(_ found: SocksRequest, _ stream: StreamID, _ session: Session) {
        var bound: Endpoint?
        if let ports, let local = socket.localAddress, let remote = socket.remoteAddress {
            let association = AppAssociation(
                session: session, flow: stream, expected: AppAssociation.expected(found.destination, from: remote),
                user: owner.user, idleLimit: ports.associations.idleLimit,
                admits: { [weak ports, listener] in ports?.admits($0, at: listener) ?? false },
                dropped: { [associations = ports.associations] in associations.drops.add($0) }
            ) { [weak self] in self?.close() }
            if !hasEnded { bound = association.open(at: local) }
            if bound != nil {
                state = .associated(association, stream)
                self.session = session
            }
        }
        guard let bound else {
            session.abandon(stream, code: SessionError.cancelled)
            return reply(found.answer(.generalFailure))
        }
        answer(SocksReply.succeeded.encoded(bound: bound))
        socket.startReading()
        // Bytes that arrived with the answer cause no further event.
        streamReadable()
    }

    func streamDatagram(_ bytes: [UInt8]) {
        if case .associated(let association, _) = state { association.deliver(bytes) }
    }

    // MARK: Ends

    /// Sends `bytes` and then closes.
    private func reply(_ bytes: [UInt8]) {
        answer(bytes)
        closeSoon()
    }

    /// Closes when the kernel has accepted all written bytes; an app that does not read them is cut off after some
    /// seconds.
    private func closeSoon() {
        switch state {
        case .closing, .over: return
        case .handshake, .connected, .associated: break
        case .requested(_, let request): request.cancel()
        }
        state = .closing
        socket.stopReading()
        socket.shutdown()
        setDeadline(Self.closeLimit)
    }

    private func close() {
        guard !isOver else { return }
        socket.close()
        over()
    }

    /// Releases everything but the socket, which is closed.
    private func over() {
        let last = state
        state = .over
        setDeadline(nil)
        switch last {
        case .over: return
        case .handshake, .connected, .closing: break
        case .requested(_, let request): request.cancel()
        case .associated(let association, let stream):
            association.close()
            session?.abandon(stream, code: SessionError.cancelled)
        }
        if let association { ports?.associations.end(association) }
        ports?.apps.remove(self)
    }

    /// Ends the connection if its app is gone but has not closed it; to be called once a minute.
    func look(_ now: Instant) { if case .connected(let pump) = state { pump.look(now) } }

    /// Since when nothing has moved, if the app may be gone without having closed the connection; else nil.
    ///
    /// It may be gone if its half has ended, also while it waits for an exit, or if its bytes wait.
    var deafSince: Instant? {
        switch state {
        case .connected(let pump): pump.isDeaf ? pump.movedAt : nil
        case .requested: endedAt
        case .handshake, .associated, .closing, .over: nil
        }
    }

    /// What the connection is doing, and since when; an app that may be gone counts as such after `silence`.
    func phase(_ now: Instant, _ silence: TimeSpan) -> (phase: AppConnections.Phase, since: Instant) {
        if let deafSince { return (now - deafSince >= silence ? .gone : .silent, deafSince) }
        return switch state {
        case .handshake: (.unfinished, since)
        case .requested, .closing: (.waiting, since)
        case .connected(let pump): (.served, pump.movedAt)
        case .associated: (.served, since)
        case .over: (.gone, since)
        }
    }

    /// Ends the connection in any state.
    func end() {
        if case .connected(let pump) = state { pump.fail() } else { close() }
    }
}
