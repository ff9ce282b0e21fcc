public import EventLoop
public import Transport
public import Wire

/// Carries bytes both ways between a TCP connection and a stream of a session, with backpressure and half-close.
///
/// It writes as many of the session's bytes as the socket accepts at once, and queues at most `writeLimit` bytes more
/// in the socket. The rest stays in the session, whose flow control stops the peer. It stops reading the socket as soon
/// as the session accepts no more. The owner forwards the session's stream events; the socket's events come here
/// directly.
public final class StreamPump: ByteStreamDelegate {
    /// The most bytes in the socket's write queue.
    static let writeLimit = 64 << 10
    /// The socket is not read while the session has less room than this.
    private static let leastRead = 4 << 10
    /// How long bytes of a socket whose peer is gone may wait without moving.
    static let goneLimit = TimeSpan.seconds(600)

    /// The session's stream.
    public let id: StreamID
    private weak var session: Session?
    private let socket: ByteStream
    private let ended: () -> Void
    /// The bytes that were read from the socket and that the session has not accepted; at most one read.
    private var pending: [UInt8] = []
    private var pendingOffset = 0
    private var socketEnded = false
    private var sessionEnded = false
    private var isOver = false
    /// When bytes, or an end, last moved.
    public private(set) var movedAt: Instant
    /// Whether any bytes were written to the socket.
    private var hasAnswered = false
    private let admit: ((RawSpan) -> Int?)?
    private let onActivity: (() -> Void)?
    /// The least time between two calls of `onActivity`.
    public static let activityInterval = TimeSpan.seconds(10)
    /// When `onActivity` may be called again.
    private var nextActivity: Instant

    /// Joins `socket`, which is open, to the stream `id`; nothing moves before ``start(early:hasEnded:)``.
    ///
    /// `admit` returns how many of the bytes read from the socket are passed on, from the first; the rest is dropped.
    /// If it returns nil, both sides are told of a failure. Without it, all bytes are passed on. Bytes that are dropped
    /// after all of an answer was written to the socket end the connection: no answer to them will follow.
    ///
    /// `onActivity` is called when bytes move in either direction, at most once in ``activityInterval``, and not in the
    /// first.
    ///
    /// `ended` is called once: when both directions are done, or either side failed. The socket is closed by then.
    public init(
        session: Session, id: StreamID, socket: ByteStream, admit: ((RawSpan) -> Int?)? = nil,
        onActivity: (() -> Void)? = nil, ended: @escaping () -> Void
    ) {
        self.session = session
        self.id = id
        self.socket = socket
        self.admit = admit
        self.onActivity = onActivity
        self.ended = ended
        movedAt = Instant(nanoseconds: session.turn.loop.now)
        nextActivity = movedAt + Self.activityInterval
    }

    /// Begins with the `early` bytes that were read from the socket before, and with its end if `hasEnded`.
    public func start(early: [UInt8] = [], hasEnded: Bool = false) {
        socket.delegate = self
        pending = early
        socketEnded = hasEnded
        toSession()
        toSocket()
    }

    /// The bytes that wait here, or in the socket's write queue.
    public var heldBytes: Int { pending.count + socket.queuedBytes }

    /// Has the kernel probe the socket's peer while the connection is idle.
    public func keepAlive() { socket.keepAlive() }

    // MARK: Session to socket

    /// Moves the session's bytes, and the end of its half, to the socket.
    public func toSocket() {
        guard !isOver, !sessionEnded, let session else { return }
        let socket = socket
        while socket.queuedBytes == 0 {
            var failure: UVError?
            let consumed = session.connection.withReadable(id) { bytes in
                do throws(UVError) {
                    let taken = try socket.tryWrite(bytes)
                    let rest = min(bytes.byteCount - taken, Self.writeLimit)
                    if rest > 0 { try socket.write(bytes.extracting(taken..<taken + rest)) }
                    return taken + rest
                } catch {
                    failure = error
                    return 0
                }
            }
            if failure != nil { return fail() }
            if consumed == 0 { break }
            hasAnswered = true
            noteMove(session)
        }
        switch session.connection.readState(id) {
        case .finished:
            sessionEnded = true
            socket.shutdown()
            finishIfDone()
        case .reset: fail()
        case .open, .unknown: break
        }
    }

    // MARK: Socket to session

    /// Offers the session the pending bytes, then the socket's end; without an end, reads on.
    public func toSession() {
        guard !isOver, let session else { return }
        if pendingOffset < pending.count {
            let taken = session.connection.write(id, pending.rawSpan.extracting(pendingOffset..<pending.count))
            pendingOffset += taken
            if taken > 0 { noteMove(session) } else { session.touch() }
            guard pendingOffset == pending.count else { return }
            pending = []
            pendingOffset = 0
        }
        if socketEnded {
            session.connection.finish(id)
            session.touch()
            finishIfDone()
        } else {
            socket.startReading()
        }
    }

    private func noteMove(_ session: Session) {
        movedAt = Instant(nanoseconds: session.turn.loop.now)
        session.touch()
        guard let onActivity, movedAt >= nextActivity else { return }
        nextActivity = movedAt + Self.activityInterval
        onActivity()
    }

    // MARK: Ends

    /// Whether the socket is not read, so that nothing tells when its peer is gone.
    ///
    /// It is not read after its end, or while the session accepts no more.
    public var isDeaf: Bool { !isOver && !socket.isReading }

    /// Ends the connection if the socket's peer has gone unnoticed; to be called once a minute.
    ///
    /// Bytes of the socket that are still under way get time, as long as some of them move.
    public func look(_ now: Instant) {
        guard isDeaf, socket.isGone, let session else { return }
        let hasSent = socketEnded && pending.isEmpty && session.connection.unacknowledgedCount(id) == 0
        if hasSent || now - movedAt >= Self.goneLimit { fail() }
    }

    /// Ends the connection after the session's stream broke, or the session ended; a reset tells the socket's peer.
    public func fail() { end { $0.reset() } }

    private func end(_ close: (ByteStream) -> Void) {
        guard !isOver else { return }
        isOver = true
        close(socket)
        session?.abandon(id, code: SessionError.connectionReset)
        ended()
    }

    /// The session has closed the stream; only the socket may have bytes left to write.
    ///
    /// A direction that has not ended by now never will, so the connection fails.
    public func streamClosed() {
        if !socketEnded || !sessionEnded { fail() }
    }

    private func finishIfDone() {
        guard socketEnded, sessionEnded, pending.isEmpty, !isOver, socket.queuedBytes == 0 else { return }
        isOver = true
        socket.close()
        session?.release(id)
        ended()
    }

    // MARK: Socket events

    /// The bytes that the session accepts now, if they are worth a read; if not, it says when to go on reading.
    ///
    /// Only a socket with bytes to read waits for room: room that is promised to a stream is lost to others until it
    /// writes. If the session will accept nothing any more, reading goes on, because it reports the socket's end.
    public func streamReadLimit(_ stream: ByteStream) -> Int {
        guard !isOver, let session, session.connection.isSending(id) else { return .max }
        let room = session.connection.sendCapacity(id, atLeast: 0)
        guard room < Self.leastRead else { return room }
        // This check follows a read that has just filled its buffer. A byte that arrives now goes to `pending`.
        guard stream.hasBytesToRead else { return 1 }
        session.touch()
        return session.connection.sendCapacity(id, atLeast: Self.leastRead)
    }

    /// Passes the bytes to the session, and stops reading if it does not accept all.
    public func stream(_ stream: ByteStream, received bytes: RawSpan) {
        guard !isOver, let session else { return }
        guard let admit else { return send(bytes, session) }
        guard let count = admit(bytes) else { return fail() }
        if count > 0 { send(bytes.extracting(0..<count), session) }
        guard count < bytes.byteCount, hasAnswered, socket.queuedBytes == 0 else { return }
        // An answer that is still arriving is delivered first: only an app that waits is told to try again.
        if session.connection.readableCount(id) == 0 { end { $0.close() } }
    }

    private func send(_ bytes: RawSpan, _ session: Session) {
        let taken = session.connection.write(id, bytes)
        noteMove(session)
        if taken < bytes.byteCount {
            pending = [UInt8](copying: bytes.extracting(taken..<bytes.byteCount))
            pendingOffset = 0
            socket.stopReading()
        }
    }

    /// Ends our half of the session's stream after the bytes read.
    public func streamReachedEnd(_ stream: ByteStream) {
        socketEnded = true
        if let session { noteMove(session) }
        toSession()
    }

    /// Continues writing.
    public func streamDrained(_ stream: ByteStream) {
        toSocket()
        finishIfDone()
    }

    /// Closes the socket when the other direction is done too.
    public func streamFinishedWriting(_ stream: ByteStream) { finishIfDone() }

    /// Resets the session's stream.
    public func stream(_ stream: ByteStream, failed error: UVError) { fail() }
}
