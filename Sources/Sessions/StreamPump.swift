public import EventLoop
public import Transport
public import Wire

/// Carries bytes both ways between a TCP connection and a stream of a session, with backpressure and half-close.
///
/// From the session to the socket it takes what the socket takes at once, and hands it at most `writeLimit` bytes more to keep;
/// what is not taken stays in the session, whose flow control stops the peer. From the socket to the session it stops reading as
/// soon as the session takes no more. The owner forwards the session's stream events; the socket's come here directly.
public final class StreamPump: ByteStreamDelegate {
    /// What may wait in the socket's write queue.
    static let writeLimit = 64 << 10
    /// With less room than this the socket is not read.
    private static let leastRead = 4 << 10
    /// How long bytes of a socket that is gone may wait to go on.
    static let goneLimit = TimeSpan.seconds(600)

    /// The session's stream.
    public let id: StreamID
    private weak var session: Session?
    private let socket: ByteStream
    private let ended: () -> Void
    /// What was read from the socket and not yet taken by the session; at most one read.
    private var pending: [UInt8] = []
    private var pendingOffset = 0
    private var socketEnded = false
    private var sessionEnded = false
    private var isOver = false
    /// When bytes, or an end, last moved.
    public private(set) var movedAt: Instant
    /// Whether the socket has been given anything.
    private var hasAnswered = false
    private let admit: ((RawSpan) -> Int?)?
    private let onActivity: (() -> Void)?
    /// How precisely `onActivity` tells when bytes moved last.
    public static let activityInterval = TimeSpan.seconds(10)
    /// From when on `onActivity` is called again.
    private var nextActivity = Instant(nanoseconds: 0)

    /// Joins `socket`, which is open, to the stream `id`; nothing moves before ``start(early:)``.
    ///
    /// `admit` says how many of the bytes that the socket read go on, from the first; the rest is dropped. Where it says nil, both
    /// sides are told of a failure. Where there is no `admit`, all go on. Bytes that are dropped after all of an answer has been given
    /// to the socket end the connection: they ask for something that nobody will answer.
    ///
    /// `onActivity` is called when bytes move in either direction, at most once in ``activityInterval``.
    ///
    /// `ended` is called once: when both directions are done, or either side failed; the socket is closed by then.
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
    }

    /// Begins, with `early` bytes that were read from the socket before, and its end if that was read too.
    public func start(early: [UInt8] = [], hasEnded: Bool = false) {
        socket.delegate = self
        pending = early
        socketEnded = hasEnded
        toSession()
        toSocket()
    }

    /// Bytes that wait here, or in the socket's write queue.
    public var heldBytes: Int { pending.count + socket.queuedBytes }

    // MARK: Session to socket

    /// Moves what the session has for the socket, and its end.
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

    /// Offers the session what it did not take before, then the socket's end, or reads on.
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

    /// Whether the socket is not read, because it has ended or the session takes no more: then nobody tells when it is gone.
    public var isDeaf: Bool { !isOver && !socket.isReading }

    /// Ends a connection whose socket is gone without a word; to be called once a minute.
    ///
    /// Bytes of the socket that are still on their way have time to go on, as long as some of them do.
    public func look(_ now: Instant) {
        guard isDeaf, socket.isGone, let session else { return }
        let hasSent = socketEnded && pending.isEmpty && session.connection.unacknowledgedCount(id) == 0
        if hasSent || now - movedAt >= Self.goneLimit { fail() }
    }

    /// The session's stream broke, or the session ended: the peer of the socket is told by a reset.
    public func fail() { end { $0.reset() } }

    private func end(_ close: (ByteStream) -> Void) {
        guard !isOver else { return }
        isOver = true
        close(socket)
        session?.abandon(id, code: SessionError.connectionReset)
        ended()
    }

    /// The session has let go of the stream: what has not ended by now never will; only the socket may have bytes left to write.
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

    /// What the session takes now, if that is enough to be worth while; if not, reading goes on when it says so.
    ///
    /// Only a socket that has something to read waits for room: what a stream is promised is nobody else's until it writes. A
    /// session that will take nothing any more does not stop the reading, which tells of the socket's end.
    public func streamReadLimit(_ stream: ByteStream) -> Int {
        guard !isOver, let session, session.connection.isSending(id) else { return .max }
        let room = session.connection.sendCapacity(id, atLeast: 0)
        guard room < Self.leastRead else { return room }
        // The look is behind a read that has just filled its buffer. What comes this very moment goes to `pending`.
        guard stream.hasBytesToRead else { return 1 }
        session.touch()
        return session.connection.sendCapacity(id, atLeast: Self.leastRead)
    }

    /// Hands what the socket read to the session, and stops reading if it does not take all.
    public func stream(_ stream: ByteStream, received bytes: RawSpan) {
        guard !isOver, let session else { return }
        guard let admit else { return send(bytes, session) }
        guard let count = admit(bytes) else { return fail() }
        if count > 0 { send(bytes.extracting(0..<count), session) }
        guard count < bytes.byteCount, hasAnswered, socket.queuedBytes == 0 else { return }
        // An answer that is still coming is brought to its end first: only an app that waits is told to try anew.
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

    /// Ends our half of the session's stream behind what was read.
    public func streamReachedEnd(_ stream: ByteStream) {
        socketEnded = true
        if let session { noteMove(session) }
        toSession()
    }

    /// Goes on writing.
    public func streamDrained(_ stream: ByteStream) {
        toSocket()
        finishIfDone()
    }

    /// Closes the socket when the other direction is done too.
    public func streamFinishedWriting(_ stream: ByteStream) { finishIfDone() }

    /// Resets the session's stream.
    public func stream(_ stream: ByteStream, failed error: UVError) { fail() }
}
