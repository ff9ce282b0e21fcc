public import EventLoop
public import Sessions
internal import SocksProtocol
internal import Transport
public import Wire

/// What a stream of the process's own tells its user, on the loop's thread.
public protocol AppStreamUser: AnyObject {
    /// The exit has a connection, or sockets for datagrams.
    func streamOpened(_ stream: AppStream)
    /// Bytes, or the end of the peer's half, can be read.
    func streamReadable(_ stream: AppStream)
    /// There is room for bytes again.
    func streamWritable(_ stream: AppStream)
    /// A datagram came from `peer`.
    func stream(_ stream: AppStream, received data: [UInt8], from peer: Destination)
    /// The exit takes no more bytes: nothing can be written any more, while what comes can be read.
    func streamStopped(_ stream: AppStream)
    /// The stream is over: it could not be opened, or it broke, or both halves are done, which is no failure.
    func streamEnded(_ stream: AppStream, _ failure: AppStream.Failure?)
}

/// A stream through an exit that code of this process uses itself, without a proxy port; it belongs to the loop's thread.
///
/// Its user keeps it, and hears of its end once, unless it ends it by ``close()``.
public final class AppStream: StreamRequestOwner, StreamUser {
    /// What it carries.
    public enum Kind: Sendable {
        /// Bytes, in order, of a TCP connection that the exit makes.
        case bytes
        /// UDP datagrams to any hosts.
        case datagrams
    }

    /// Why it is over.
    public enum Failure: Error, Hashable, Sendable {
        /// No path to an exit is to be had.
        case noPath
        /// So many identities are in use, none of which is idle.
        case tooManyIdentities
        /// So many UDP associations are open.
        case tooManyAssociations
        /// No exit has answered in time.
        case timedOut
        /// The exit has said so.
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
    /// Whether our half has ended.
    private var isFinished = false
    /// Ends a stream whose user has closed it behind its own end, and whose peer does not end.
    private var linger: LoopTimer?
    /// How long such a stream may take to bring its last bytes to the peer.
    private static let lingerLimit = TimeSpan.seconds(60)

    /// Called once, when it is over.
    private let atEnd: () -> Void

    init(on loop: Loop, user: any AppStreamUser, atEnd: @escaping () -> Void = {}) {
        self.loop = loop
        self.user = user
        self.atEnd = atEnd
    }

    func begin(
        _ kind: Kind, _ destination: Destination, isolation: IsolationKey, from client: any SessionSource
    ) {
        let request = StreamRequest(
            kind == .bytes ? .tcp : .udp, kind == .bytes ? destination : OpenRequest.nowhere, isolation: isolation,
            on: loop, from: client, for: self)
        state = .requested(request)
        request.begin()
    }

    private var open: Open? { if case .open(let open) = state { open } else { nil } }

    /// Whether it is over.
    public var isOver: Bool { if case .over = state { true } else { false } }

    // MARK: Bytes

    /// At most `limit` of the bytes that have come; empty while there are none.
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

    /// Hands bytes over, and returns how many of the first of them were taken; the rest waits for ``AppStreamUser``'s call.
    public func write(_ bytes: RawSpan) -> Int {
        guard let open, open.kind == .bytes, let session = open.session else { return 0 }
        let taken = session.connection.write(open.stream, bytes)
        session.touch()
        return taken
    }

    /// Ends our half behind what was written.
    public func finish() {
        guard let open, open.kind == .bytes, let session = open.session else { return }
        isFinished = true
        session.connection.finish(open.stream)
        session.touch()
    }

    // MARK: Datagrams

    /// Sends a datagram to `peer`; false when there is no room for it, it is longer than one may be, or no exit is asked for the name.
    public func send(_ data: RawSpan, to peer: Destination) -> Bool {
        if case .name(let name) = peer.host, LocalName.isNowhere(name) { return false }
        guard let open, open.kind == .datagrams, let session = open.session,
            let bytes = FlowDatagram.encoded(peer, data)
        else { return false }
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
        // What came behind the answer has no event of its own.
        if !isOver { streamReadable() }
    }

    func streamFound(_ result: LookupResult) { over(.broken) }

    func streamFailed(_ failure: StreamFailure) { over(Failure(failure)) }

    // MARK: Session

    /// The session has something for it.
    public func streamReadable() {
        guard let open, let session = open.session else { return }
        if open.kind == .datagrams {
            // Behind the status nothing comes but the end, with which the exit says that its side is over.
            session.connection.withReadable(open.stream) { $0.byteCount }
            if session.connection.readState(open.stream) != .open { fail() }
        } else if linger != nil {
            while session.connection.withReadable(open.stream, { $0.byteCount }) > 0 {}
            session.touch()
        } else {
            user?.streamReadable(self)
        }
    }

    /// The session has room for it.
    public func streamWritable() { if open?.kind == .bytes { user?.streamWritable(self) } }
    /// The exit has given its half up.
    public func streamReset(code: UInt64) { fail() }
    /// The exit takes no more; what has come before stays to be read.
    public func streamStopped(code: UInt64) {
        if open?.kind == .bytes { user?.streamStopped(self) } else { fail() }
    }
    /// Nobody can send or read any more.
    public func sessionEnded() { over(.broken) }

    /// Both halves are done, the peer's when all of it was read.
    public func streamClosed() { over(nil) }

    /// Hands a datagram to the user.
    public func streamDatagram(_ bytes: [UInt8]) {
        guard open?.kind == .datagrams else { return }
        do throws(WireError) {
            let (peer, offset) = try FlowDatagram.decode(from: bytes.rawSpan)
            user?.stream(self, received: Array(bytes[offset...]), from: peer)
        } catch {
            // An exit that sends what is no datagram is not answered.
        }
    }

    // MARK: Ends

    /// Gives the stream up; its user hears no more of it.
    ///
    /// Behind ``finish()`` what was written still goes to the peer, as long as the session stands, for a minute.
    public func close() {
        user = nil
        guard isFinished, let session = open?.session else { return fail() }
        linger = LoopTimer(on: loop) { [weak self] in self?.fail() }
        linger?.schedule(at: (Instant(nanoseconds: loop.now) + Self.lingerLimit).nanoseconds)
        session.touch()
        streamReadable()
    }

    private func fail() {
        if let open { open.session?.abandon(open.stream, code: SessionError.cancelled) }
        over(.broken)
    }

    fileprivate func fail(_ failure: Failure) { over(failure) }

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
    /// Opens a stream to `destination` for code of this process, which shares paths only with its streams of the same `isolation`.
    ///
    /// The user may hear of a failure inside this call. Names that no exit is asked for fail as not found.
    public func open(
        _ kind: AppStream.Kind, to destination: Destination, isolation: String, user: any AppStreamUser
    ) -> AppStream {
        if kind == .datagrams {
            guard associations.begin() != nil else {
                let stream = AppStream(on: loop, user: user)
                stream.fail(.tooManyAssociations)
                return stream
            }
            let stream = AppStream(on: loop, user: user) { [associations] in associations.end() }
            stream.begin(kind, destination, isolation: IsolationKey(ownStreams: isolation), from: sessions)
            return stream
        }
        let stream = AppStream(on: loop, user: user)
        if case .name(let name) = destination.host, LocalName.isNowhere(name) {
            stream.streamFailed(.refused(.hostNotFound))
        } else {
            stream.begin(kind, destination, isolation: IsolationKey(ownStreams: isolation), from: sessions)
        }
        return stream
    }

    /// Opens a stream to `destination` whose bytes come and go by the connected unix socket `descriptor`.
    ///
    /// The socket is the client's when this returns. The stream goes on until either end of it is closed. `told` is called once,
    /// with nil when the exit has a connection; it may be inside this call. The result gives up a stream that is not open yet.
    public func open(
        _ destination: Destination, isolation: String, socket descriptor: Int32,
        told: @escaping (AppStream.Failure?) -> Void
    ) throws(UVError) -> () -> Void {
        let stream = try ByteStream.adopt(descriptor, on: loop)
        let socket = AppSocket(stream, told: told) { [weak self] in self?.ended($0) }
        sockets[ObjectIdentifier(socket)] = socket
        if case .name(let name) = destination.host, LocalName.isNowhere(name) {
            socket.streamFailed(.refused(.hostNotFound))
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
