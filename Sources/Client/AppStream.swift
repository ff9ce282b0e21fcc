public import EventLoop
public import Sessions
internal import SocksProtocol
internal import Transport
public import Wire

/// Receives the events of an ``AppStream``, on the loop's thread.
public protocol AppStreamUser: AnyObject {
    /// The exit has opened the connection, or its sockets for datagrams.
    func streamOpened(_ stream: AppStream)
    /// Bytes, or the end of the peer's half, can be read.
    func streamReadable(_ stream: AppStream)
    /// There is room to write again.
    func streamWritable(_ stream: AppStream)
    /// A datagram came from `peer`.
    func stream(_ stream: AppStream, received data: [UInt8], from peer: Destination)
    /// The exit accepts no more bytes; the user can still read.
    func streamStopped(_ stream: AppStream)
    /// The stream is over: it could not be opened, it broke, or both halves are done, which is not a failure.
    func streamEnded(_ stream: AppStream, _ failure: AppStream.Failure?)
}

/// A stream through an exit that code of this process uses, without a proxy port.
///
/// It belongs to the loop's thread. Its user owns it, and hears of its end once, unless the user calls ``close()``.
public final class AppStream: StreamRequestOwner, StreamUser {
    /// The data that a stream carries.
    public enum Kind: Sendable {
        /// The bytes of a TCP connection that the exit makes, in order.
        case bytes
        /// UDP datagrams to any hosts.
        case datagrams
    }

    /// Why a stream has ended.
    public enum Failure: Error, Hashable, Sendable {
        /// There is no path to an exit.
        case noPath
        /// The limit of identities is in use, and none of them is idle.
        case tooManyIdentities
        /// The limit of open UDP associations is reached.
        case tooManyAssociations
        /// No exit answered in time.
        case timedOut
        /// The exit refused with this status.
        case refused(OpenReply.Status)
        /// The stream broke, or its session ended.
        case broken
    }

    private enum State {
        case idle
        case requested(StreamRequest)
        case open(Open)
        case over
    }

    private struct Open {
        weak var session: Session?
        let stream: StreamID
        let kind: Kind
    }

    private var state = State.idle
    private weak var user: (any AppStreamUser)?
    private let loop: Loop
    private let rule: AnswerRule
    /// The hosts to which datagrams were sent.
    private var sent = SentHosts()
    /// Whether our half has ended.
    private var isFinished = false
    /// Ends a stream that its user has finished and closed, if the peer does not end it.
    private var linger: LoopTimer?
    /// How long such a stream may take to deliver its last bytes.
    private static let lingerLimit = TimeSpan.seconds(60)

    /// Called once, when the stream is over.
    private let atEnd: () -> Void

    init(on loop: Loop, rule: AnswerRule, user: any AppStreamUser, atEnd: @escaping () -> Void = {}) {
        self.loop = loop
        self.rule = rule
        self.user = user
        self.atEnd = atEnd
    }

    func begin(
        _ kind: Kind, _ destination: Destination, isolation: IsolationKey, from client: any SessionSource
    ) {
        let request = StreamRequest(
            kind == .bytes ? .tcp : .udp, kind == .bytes ? destination : OpenRequest.unspecified, isolation: isolation,
            on: loop, from: client, for: self)
        state = .requested(request)
        request.begin()
    }

    private var open: Open? { if case .open(let open) = state { open } else { nil } }

    /// Whether the stream is over.
    public var isOver: Bool { if case .over = state { true } else { false } }

    // MARK: Bytes

    /// Reads at most `limit` bytes; empty while none have arrived.
    public func read(_ limit: Int) -> [UInt8] {
        guard let open, let session = open.session else { return [] }
        var bytes: [UInt8] = []
        session.connection.withReadable(open.stream) { readable in
            let count = min(limit, readable.byteCount)
            bytes = [UInt8](copying: readable.extracting(0..<count))
            return count
        }
        session.touch()
        return bytes
    }

    /// Whether the peer's half has ended and all of it was read.
    public var hasEnded: Bool {
        guard let open, let session = open.session else { return isOver }
        return session.connection.readState(open.stream) == .finished
    }

    /// Writes `bytes` from the first on, and returns how many were accepted.
    ///
    /// If not all were, ``AppStreamUser/streamWritable(_:)`` follows when there is room.
    public func write(_ bytes: RawSpan) -> Int {
        guard let open, open.kind == .bytes, let session = open.session else { return 0 }
        let taken = session.connection.write(open.stream, bytes)
        session.touch()
        return taken
    }

    /// Ends our half after the bytes written so far.
    public func finish() {
        guard let open, open.kind == .bytes, let session = open.session else { return }
        isFinished = true
        session.connection.finish(open.stream)
        session.touch()
    }

    // MARK: Datagrams

    /// The failure of datagrams to `peer` if no exit may be asked for its host; else nil.
    public func failure(of peer: Destination) -> Failure? { rule.refusal(of: peer.host).map { .refused($0) } }

    /// Sends a datagram to `peer`.
    ///
    /// False if the stream is not open for datagrams, if there is no room, if the datagram is too long, or if no exit
    /// may be asked for its host.
    public func send(_ data: RawSpan, to peer: Destination) -> Bool {
        guard rule.mayAsk(for: peer.host) else { return false }
        guard let open, open.kind == .datagrams, let session = open.session,
            let bytes = FlowDatagram.encoded(peer, data)
        else { return false }
        sent.add(peer.host)
        let isTaken = session.connection.sendDatagram(flow: open.stream.value, bytes.rawSpan)
        session.touch()
        return isTaken
    }

    // MARK: Request

    func takeEarlyBytes() -> [UInt8]? { [] }
    var endsEarly: Bool { false }

    func streamOpened(_ stream: StreamID, on session: Session, unsent: [UInt8]) {
        guard case .requested(let request) = state else {
            return session.abandon(stream, code: SessionError.cancelled)
        }
        state = .open(Open(session: session, stream: stream, kind: request.kind == .udp ? .datagrams : .bytes))
        session.attach(self, to: stream)
        user?.streamOpened(self)
        // Bytes that arrived with the answer cause no further event.
        if !isOver { streamReadable() }
    }

    func streamFound(_ result: LookupResult) { over(.broken) }

    func streamFailed(_ failure: StreamFailure) { over(Failure(failure)) }

    // MARK: Session

    /// Bytes, or the end of the exit's half, can be read.
    public func streamReadable() {
        guard let open, let session = open.session else { return }
        if open.kind == .datagrams {
            // After the status the exit sends only the end of its half, when its side is over.
            session.connection.withReadable(open.stream) { $0.byteCount }
            if session.connection.readState(open.stream) != .open { fail() }
        } else if linger != nil {
            while session.connection.withReadable(open.stream, { $0.byteCount }) > 0 {}
            session.touch()
        } else {
            user?.streamReadable(self)
        }
    }

    /// The session has room for bytes of the stream.
    public func streamWritable() { if open?.kind == .bytes { user?.streamWritable(self) } }
    /// The exit has reset its half.
    public func streamReset(code: UInt64) { fail() }
    /// The exit accepts no more bytes; bytes that arrived before can still be read.
    public func streamStopped(code: UInt64) {
        if open?.kind == .bytes { user?.streamStopped(self) } else { fail() }
    }
    /// The session has ended, and the stream with it.
    public func sessionEnded() { over(.broken) }

    /// Both halves are done, and all of the peer's half was read.
    public func streamClosed() { over(nil) }

    /// Passes a datagram to the user if the user has sent something to its host.
    ///
    /// The exit names the sender. A hostile exit could name a host of this machine's own network, and the user would
    /// believe it.
    public func streamDatagram(_ bytes: [UInt8]) {
        guard open?.kind == .datagrams, let (peer, offset) = try? FlowDatagram.decode(from: bytes.rawSpan),
            sent.contains(peer.host)
        else { return }
        user?.stream(self, received: Array(bytes[offset...]), from: peer)
    }

    // MARK: Ends

    /// Gives up the stream; its user gets no more events.
    ///
    /// After ``finish()``, the written bytes are still delivered for up to a minute, if the session lasts.
    public func close() {
        user = nil
        guard isFinished, let session = open?.session else { return fail() }
        linger = LoopTimer(on: loop) { [weak self] in self?.fail() }
        linger?.schedule(at: (Instant(nanoseconds: loop.now) + Self.lingerLimit).nanoseconds)
        session.touch()
        streamReadable()
    }

    fileprivate func fail(_ failure: Failure = .broken) {
        if let open { open.session?.abandon(open.stream, code: SessionError.cancelled) }
        over(failure)
    }

    private func over(_ failure: Failure?) {
        guard !isOver else { return }
        if case .requested(let request) = state { request.cancel() }
        state = .over
        linger?.close()
        linger = nil
        atEnd()
        user?.streamEnded(self, failure)
    }
}

extension Client {
    /// The failure of a stream to `destination` for which no exit may be asked; nil if one may be.
    private func failure(of destination: Destination) -> StreamFailure? {
        answers.refusal(of: destination.host).map { .refused($0) }
    }

    /// Opens a stream to `destination` for code of this process; for datagrams, `destination` is ignored.
    ///
    /// The stream shares paths only with the process's own streams of the same `isolation`. The user may hear of a
    /// failure inside this call. Hosts that no exit may be asked for fail: names as not found, addresses as not
    /// allowed.
    public func open(
        _ kind: AppStream.Kind, to destination: Destination, isolation: String, user: any AppStreamUser
    ) -> AppStream {
        if kind == .datagrams {
            weak var begun: AppStream?
            guard let number = ports.beginAssociation(for: nil, giveUp: { begun?.fail(.tooManyAssociations) }) else {
                let stream = AppStream(on: loop, rule: answers, user: user)
                stream.fail(.tooManyAssociations)
                return stream
            }
            let stream = AppStream(on: loop, rule: answers, user: user) { [associations] in associations.end(number) }
            begun = stream
            stream.begin(kind, destination, isolation: IsolationKey(ownStreams: isolation), from: sessions)
            return stream
        }
        let stream = AppStream(on: loop, rule: answers, user: user)
        if let failure = failure(of: destination) {
            stream.streamFailed(failure)
        } else {
            stream.begin(kind, destination, isolation: IsolationKey(ownStreams: isolation), from: sessions)
        }
        return stream
    }

    /// Opens a stream to `destination` and bridges it to the connected unix socket `descriptor`.
    ///
    /// The client owns the socket when this returns. The stream lasts until either end is closed. `told` is called
    /// once, perhaps inside this call: with nil when the exit is connected, else with the failure. The returned closure
    /// gives up a stream that is not open yet.
    public func open(
        _ destination: Destination, isolation: String, socket descriptor: Int32,
        told: @escaping (AppStream.Failure?) -> Void
    ) throws(UVError) -> () -> Void {
        let stream = try ByteStream.adopt(descriptor, on: loop)
        let socket = AppSocket(stream, told: told) { [weak self] in self?.ended($0) }
        sockets[ObjectIdentifier(socket)] = socket
        if let failure = failure(of: destination) {
            socket.streamFailed(failure)
        } else {
            socket.begin(
                StreamRequest(
                    .tcp, destination, isolation: IsolationKey(ownStreams: isolation), on: loop, from: sessions,
                    for: socket
                ))
        }
        return { [weak socket] in socket?.giveUp() }
    }
}
