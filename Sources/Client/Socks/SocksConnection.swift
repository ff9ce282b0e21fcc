internal import EventLoop
internal import Links
internal import Sessions
internal import SocksProtocol
internal import Transport
internal import Wire

/// One app's connection to a proxy port, over SOCKS or HTTP: handshake, request, reply, then bytes both ways over a session.
///
/// It fails closed: whatever goes wrong ends in an error reply or a closed connection, never in a connection of its own.
final class SocksConnection: ByteStreamDelegate, StreamUser, SessionApp {
    /// How long a request may wait for its reply, from the first exit that is asked.
    static let openLimit = TimeSpan.seconds(28)
    /// How many times as long it may wait before that, in a line that moves on.
    static let waitLimit = 4

    private let socket: ByteStream
    let listener: Int
    private weak var client: Client?
    private var handshake = SocksHandshake()
    private var request: SocksRequest?
    /// What the exit is asked for.
    private var kind = OpenRequest.Kind.tcp
    /// Whose streams it may share a path with, once it has said what it wants.
    private var isolation: IsolationKey?
    /// Whether data of the app went to the exit behind the request; nil as long as no exit has been asked.
    private var hasSent: Bool?
    /// What the app has sent ahead, until an exit has taken its request: one that refuses it has passed nothing on.
    private var early: [UInt8] = []
    /// How many times its deadline was put off since it waits in a line that moves on.
    private var waits = 0
    private var deadline: LoopTimer?
    private weak var session: Session?
    private var stream: StreamID?
    private var pump: StreamPump?
    private var association: AppAssociation?
    private var hasAssociation = false
    private var hasEnded = false
    /// What the app has sent ahead and the session has not taken yet.
    private var unsent: [UInt8] = []
    private(set) var isOver = false

    /// Serves `socket`, which came to the client's address number `listener`; the caller keeps it until ``Client/ended(_:)``.
    init(socket: ByteStream, listener: Int, client: Client) {
        self.socket = socket
        self.listener = listener
        self.client = client
        deadline = LoopTimer(on: socket.loop) { [weak self] in self?.timedOut() }
        setDeadline(client.handshakeLimit)
        socket.delegate = self
        socket.startReading()
    }

    /// Whether the app has not yet said what it wants.
    var isUnfinished: Bool { request == nil && !isOver }

    private func setDeadline(_ span: TimeSpan) {
        deadline?.schedule(at: (Instant(nanoseconds: socket.loop.now) + span).nanoseconds)
    }

    /// Whether it may wait for an exit to be asked; one that was asked cannot prolong the wait by what it answers.
    var mayWaitOn: Bool { hasSent == nil && waits < Self.waitLimit }

    private func timedOut() {
        guard request != nil else { return close() }
        if mayWaitOn, let client, let isolation, client.mayWaitOn(isolation) {
            waits += 1
            return setDeadline(Self.openLimit)
        }
        reply(.ttlExpired)
    }

    // MARK: Handshake

    /// An app that sends more ahead than is kept waits in the kernel: with no room its socket is not read until the stream stands.
    func streamReadLimit(_ stream: ByteStream) -> Int { association == nil ? handshake.room : .max }

    func stream(_ stream: ByteStream, received bytes: RawSpan) {
        // Only the end of an association's connection has a meaning.
        guard association == nil else { return }
        switch handshake.receive(bytes) {
        case .wait(let send): answer(send)
        case .refuse(_, let send):
            answer(send)
            closeSoon()
        case .request(let found, let send):
            answer(send)
            guard request == nil, !isOver else { return }
            request = found
            guard let client else { return close() }
            switch (found.command, found.destination.host) {
            case (.connect, .address), (.resolvePointer, .address):
                let isCheck = found.credentials?.user.elementsEqual(SocksCredentials.checkUser.utf8) ?? false
                guard client.admits(found.destination.host, at: listener, isCheck: isCheck) else {
                    return reply(.notAllowed)
                }
                kind = found.command == .connect ? .tcp : .resolvePointer
            case (.connect, .name(let name)), (.resolve, .name(let name)):
                guard !Client.isNowhere(name) else { return reply(SocksReply(.hostNotFound)) }
                kind = found.command == .connect ? .tcp : .resolve
            case (.resolvePointer, .name): return reply(.addressTypeNotSupported)
            // An address is its own answer.
            case (.resolve, .address): return reply(SocksReply.encoded(found: found.destination.host, via: found.via))
            case (.bind, _): return reply(.commandNotSupported)
            case (.udpAssociate, _):
                // Whoever can reach a loopback port is not who can reach a unix socket.
                guard socket.kind == .tcp else { return reply(.commandNotSupported) }
                kind = .udp
            }
            var association = UInt64(0)
            if kind == .udp {
                guard let number = client.beginAssociation() else { return reply(.generalFailure) }
                association = number
                hasAssociation = true
            }
            setDeadline(Self.openLimit)
            isolation = IsolationKey(
                found, listener: listener, client: socket.remoteAddress.map { Endpoint($0).address },
                isolation: client.rules(of: listener).isolation, association: association)
            askForSession()
        }
    }

    private func askForSession() {
        guard !isOver, let client, let request, let isolation else { return close() }
        client.connect(self, isolation: isolation, needs: Self.needs(of: kind, request.destination.host))
    }

    /// What an exit must have beside TCP for a request of this kind.
    private static func needs(of kind: OpenRequest.Kind, _ host: Destination.Host) -> Descriptor.ExitSummary {
        switch (kind, host) {
        case (.udp, _): .udp
        case (.tcp, .address(let address)) where address.v4 == nil: .ipv6
        default: []
        }
    }

    private func answer(_ bytes: [UInt8]) {
        guard !bytes.isEmpty, !isOver else { return }
        do throws(UVError) { try socket.write(bytes) } catch { abandon() }
    }

    func streamReachedEnd(_ stream: ByteStream) {
        hasEnded = true
        if request == nil { close() } else if association != nil { abandon() }
    }

    func stream(_ stream: ByteStream, failed error: UVError) { abandon() }

    func streamFinishedWriting(_ stream: ByteStream) {
        // Nothing can follow a refusal: what the app still sends is not read.
        close()
    }

    // MARK: Session

    /// Opens the app's stream on `session`; data that the app has sent already goes right behind the request.
    func open(on session: Session) {
        guard !isOver, !isClosing, stream == nil, let request else { return }
        do throws(StreamError) {
            let id = try session.connection.openStream()
            self.session = session
            stream = id
            session.attach(self, to: id)
            socket.stopReading()
            let destination =
                switch kind {
                case .tcp: request.destination
                case .resolve, .resolvePointer, .records: Destination(host: request.destination.host, port: 0)
                case .udp: OpenRequest.nowhere
                }
            let opening = OpenRequest(kind: kind, destination: destination).encoded()
            // Behind anything but a connection there is nobody to send to.
            if hasSent == nil {
                let sent = handshake.takeEarlyData()
                guard let first = kind == .tcp ? forwarded(sent) : [] else {
                    return reply(SocksError.badHead.answer(via: request.via))
                }
                early = first
                if waits > 0 { setDeadline(Self.openLimit) }
            }
            hasSent = !early.isEmpty
            let bytes = opening + early
            let taken = session.connection.write(id, bytes.rawSpan)
            // An empty stream always takes a request, and of the early data what the session has room for.
            guard taken >= opening.count else { return reply(.generalFailure) }
            unsent = Array(bytes.dropFirst(taken))
            if (hasEnded && unsent.isEmpty) || (kind != .tcp && kind != .udp) { session.connection.finish(id) }
            session.touch()
        } catch {
            reply(.generalFailure)
        }
    }

    /// What of `sent`, the first bytes of the app behind its request, goes to the destination, and before it the request of one
    /// that asks for a URL; nil where they are no body.
    private func forwarded(_ sent: [UInt8]) -> [UInt8]? {
        guard let head = request?.forward?.head else { return sent }
        return takeBody(sent.rawSpan).map { head + sent.prefix($0) }
    }

    /// How many of the next bytes of the app belong to its request; nil where they are no body.
    private func takeBody(_ bytes: RawSpan) -> Int? {
        do throws(SocksError) { return try request?.forward?.body.take(bytes) } catch { return nil }
    }

    /// There is no session to be had.
    func fail(_ reason: NoSession) {
        guard let request else { return }
        switch reason {
        case .noPath: reply(request.withoutPath)
        case .tooManyIdentities(let limit): reply(request.beyondIdentities(limit))
        }
    }

    func streamReadable() {
        if let pump { return pump.toSocket() }
        guard !isOver, let session, let stream else { return }
        if association != nil { return associationReadable(session, stream) }
        guard kind == .tcp || kind == .udp else { return lookupReadable(session, stream) }
        var status: OpenReply.Status?
        var isBad = false
        session.connection.withReadable(stream) { bytes in
            do throws(WireError) {
                guard let found = try OpenReply.decode(from: bytes) else { return 0 }
                status = found.reply.status
                return found.consumed
            } catch {
                isBad = true
                return 0
            }
        }
        session.touch()
        switch status {
        case .ok:
            early = []
            (session.owner as? ClientSession)?.streamTaken()
            if kind == .udp { associated(session, stream) } else { connected(session, stream) }
        case .tooManyStreams: askLater(session, stream)
        case .some(let failure): reply(SocksReply(failure))
        case nil: if isBad || session.connection.readState(stream) != .open { reply(.generalFailure) }
        }
    }

    private func lookupReadable(_ session: Session, _ stream: StreamID) {
        guard let request else { return }
        var found: LookupReply?
        var isBad = false
        session.connection.withReadable(stream) { bytes in
            do throws(WireError) { found = try LookupReply.decode(from: bytes, to: kind) } catch { isBad = true }
            return found == nil ? 0 : bytes.byteCount
        }
        session.touch()
        switch found?.outcome {
        case .found(.address(let address)) where client?.mayTell(address) != true: reply(.notAllowed)
        case .found(let host): reply(SocksReply.encoded(found: host, via: request.via))
        case .failed(.tooManyStreams): askLater(session, stream)
        case .failed(let status): reply(SocksReply(status))
        case nil: if isBad || session.connection.readState(stream) != .open { reply(.generalFailure) }
        }
    }

    /// The exit takes no more streams now, and has passed nothing on: it, or another one, is asked again in its turn.
    private func askLater(_ session: Session, _ stream: StreamID) {
        (session.owner as? ClientSession)?.streamRefused()
        session.abandon(stream, code: SessionError.cancelled)
        (self.session, self.stream, unsent) = (nil, nil, [])
        askForSession()
    }

    private func connected(_ session: Session, _ stream: StreamID) {
        guard let request else { return }
        deadline?.close()
        deadline = nil
        answer(request.established)
        guard !isOver else { return }
        let pump = StreamPump(session: session, id: stream, socket: socket) { [weak self] in self?.over() }
        if request.forward != nil { pump.admit = { [weak self] in self?.takeBody($0) } }
        self.pump = pump
        pump.start(early: unsent, hasEnded: hasEnded)
        unsent = []
    }

    func streamWritable() { pump?.toSession() }
    func streamReset(code: UInt64) {
        if let pump { pump.fail() } else { failStream() }
    }
    func streamStopped(code: UInt64) {
        if let pump { pump.fail() } else if association != nil { failStream() }
    }
    func streamClosed() {
        if let pump { pump.streamClosed() } else { failStream() }
    }
    func sessionEnded() {
        if let pump { return pump.fail() }
        guard association == nil, hasSent == false, !isOver, !isClosing else { return failStream() }
        // The exit died before it answered. Nothing of the app's went there: another is asked, as long as the request may wait.
        (session, stream, unsent) = (nil, nil, [])
        askForSession()
    }

    private func failStream() { if association == nil { reply(.generalFailure) } else { abandon() } }

    // MARK: UDP

    /// The exit has its sockets: opens the app's port and tells it.
    private func associated(_ session: Session, _ stream: StreamID) {
        guard let request, let client, let local = socket.localAddress, let remote = socket.remoteAddress else {
            return reply(.generalFailure)
        }
        let association = AppAssociation(
            session: session, flow: stream, expected: AppAssociation.expected(request.destination, from: remote),
            idleLimit: client.udpIdle,
            admits: { [weak client, listener] in client?.admits($0, at: listener) ?? false },
            dropped: { [weak client] in client?.datagramDrops.add($0) }
        ) { [weak self] in self?.abandon() }
        guard !hasEnded, let bound = association.open(at: local) else { return reply(.generalFailure) }
        deadline?.close()
        deadline = nil
        self.association = association
        answer(SocksReply.succeeded.encoded(bound: bound))
        socket.startReading()
    }

    func streamDatagram(_ bytes: [UInt8]) { association?.deliver(bytes) }

    /// Behind the status nothing comes but the end, with which the exit says that its side is over.
    private func associationReadable(_ session: Session, _ stream: StreamID) {
        session.connection.withReadable(stream) { $0.byteCount }
        if session.connection.readState(stream) != .open { abandon() }
    }

    // MARK: Ends

    /// Answers with `failure` and closes behind it.
    private func reply(_ failure: SocksReply) {
        guard let request else { return }
        reply(request.answer(failure))
    }

    /// Answers with `bytes` and closes behind them.
    private func reply(_ bytes: [UInt8]) {
        guard !isOver, pump == nil, association == nil else { return }
        answer(bytes)
        letGo()
        closeSoon()
    }

    private func letGo() {
        deadline?.close()
        deadline = nil
        guard let session, let stream else { return }
        session.abandon(stream, code: SessionError.cancelled)
        self.session = nil
    }

    /// Closes when what was written is with the kernel; an app that does not take it is cut off after some seconds.
    private func closeSoon() {
        guard !isOver, !isClosing else { return }
        isClosing = true
        socket.stopReading()
        socket.shutdown()
        deadline = LoopTimer(on: socket.loop) { [weak self] in self?.close() }
        setDeadline(.seconds(5))
    }

    private var isClosing = false

    private func abandon() {
        letGo()
        close()
    }

    private func close() {
        guard !isOver else { return }
        socket.close()
        over()
    }

    private func over() {
        guard !isOver else { return }
        isOver = true
        deadline?.close()
        deadline = nil
        association?.close()
        if hasAssociation { client?.endedAssociation() }
        client?.ended(self)
    }

    /// Ends a connection whose app is gone without a word; to be called once a minute.
    func look(_ now: Instant) { pump?.look(now) }

    /// Since when nothing has moved, where nothing tells whether the app is still there: its half has ended, or its bytes wait.
    var deafSince: Instant? { pump.flatMap { $0.isDeaf ? $0.movedAt : nil } }

    /// Ends the connection whatever it is doing.
    func end() {
        if let pump { pump.fail() } else { abandon() }
    }
}
