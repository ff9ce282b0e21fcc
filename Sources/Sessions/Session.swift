public import EventLoop
public import Transport
public import Wire

/// The owner of sessions: a role that knows the paths behind a session's legs.
public protocol SessionOwner: AnyObject {
    /// Sends packets on the session's legs for as long as its connection wants to.
    ///
    /// False when it held some back: then it touches the session when they may be sent, and no timer does until then.
    func transmit(_ session: Session, now: Instant) -> Bool
    /// Takes an event that concerns no single stream, or a stream that the peer has opened.
    func event(_ event: Event, in session: Session)
    /// Ends the session, for its connection is closed, by either end, or it was to end soon.
    func closed(_ session: Session)
}

/// The owner of one stream of a session.
public protocol StreamUser: AnyObject {
    /// Bytes, or the end of the peer's half, can be read.
    func streamReadable()
    /// There is room for bytes again.
    func streamWritable()
    /// The peer gave up its half.
    func streamReset(code: UInt64)
    /// The peer reads no more of ours.
    func streamStopped(code: UInt64)
    /// Both halves are done; the number means nothing from here on.
    func streamClosed()
    /// The session has ended, and the stream with it; nothing of it can be sent or read any more.
    func sessionEnded()
    /// A datagram of the flow that has the stream's number came; dropped unless said otherwise.
    func streamDatagram(_ bytes: [UInt8])
    /// Bytes that it holds beside the session's own buffers; 0 unless said otherwise.
    var heldBytes: Int { get }
}

extension StreamUser {
    /// None.
    public var heldBytes: Int { 0 }
    /// Drops it.
    public func streamDatagram(_ bytes: [UInt8]) {}
}

/// One session: its transport connection, its streams' users, and its turn on the loop.
///
/// It belongs to the loop's thread. Whoever changes the connection calls ``touch()``; at the end of the loop's turn its events are
/// handed out, its packets sent, and its timer set.
public final class Session {
    /// The transport of all legs.
    public var connection: Connection
    /// Who knows the paths behind the legs.
    public weak var owner: (any SessionOwner)?
    /// Where it waits for the turn's end.
    public let turn: SessionTurn
    private var users: [StreamID: any StreamUser] = [:]
    private var timer: LoopTimer!
    fileprivate var isTouched = false
    private var isOver = false
    private var endsSoon = false

    /// A session without legs; its maker sets ``owner``.
    public init(turn: SessionTurn, role: Role, configuration: Configuration, seed: UInt64) {
        self.turn = turn
        connection = Connection(role: role, configuration: configuration, seed: seed)
        timer = LoopTimer(on: turn.loop) { [weak self] in self?.touch() }
    }

    /// How many streams have a user; one that was let go has none, even if the peer never ends it.
    public var streamCount: Int { users.count }

    /// Bytes of memory that the session and its streams' users hold, for accounting.
    public var memoryUse: Int { connection.memoryUse + users.values.reduce(0) { $0 + $1.heldBytes } }

    /// Gives the stream `id` to `user` until it is closed or let go.
    public func attach(_ user: any StreamUser, to id: StreamID) { users[id] = user }

    /// Takes the stream from its user, who hears of it no more; what was written still goes out.
    public func release(_ id: StreamID) {
        users[id] = nil
        touch()
    }

    /// Gives up both halves of the stream with `code`, and takes it from its user.
    public func abandon(_ id: StreamID, code: UInt64) {
        connection.reset(id, code: code)
        connection.stopSending(id, code: code)
        release(id)
    }

    /// Puts the session on the list of the turn's end.
    public func touch() {
        guard !isTouched, !isOver else { return }
        isTouched = true
        turn.add(self)
    }

    /// Has the owner end the session at the end of the turn, where it cannot do so at once.
    public func endSoon() {
        endsSoon = true
        touch()
    }

    /// Tells every stream's user and lets go of all that the session holds; nothing is sent any more.
    public func end() {
        guard !isOver else { return }
        isOver = true
        timer.close()
        let left = users
        users = [:]
        for user in left.values { user.sessionEnded() }
    }

    /// Runs due timers, hands out events and sends.
    ///
    /// What comes up meanwhile is part of it; events of the sending itself wait a turn.
    fileprivate func settle() {
        guard !isOver else { return }
        if endsSoon { owner?.closed(self) }
        guard !isOver else { return }
        let now = turn.now
        if let deadline = connection.nextDeadline, deadline <= now { connection.deadlineReached(now: now) }
        while !isOver, let event = connection.nextEvent() { handOut(event) }
        guard !isOver else { return }
        let isHeldBack = owner?.transmit(self, now: now) == false
        isTouched = false
        // What the other end hears of it is sent by now.
        if connection.isClosed { owner?.closed(self) }
        guard !isOver else { return }
        while !isOver, let event = connection.nextEvent() { handOut(event) }
        guard !isOver else { return }
        if !isHeldBack, let deadline = connection.nextDeadline {
            timer.schedule(at: deadline.nanoseconds)
        } else {
            timer.cancel()
        }
    }

    private func handOut(_ event: Event) {
        switch event {
        case .readable(let id): users[id]?.streamReadable()
        case .writable(let id): users[id]?.streamWritable()
        case .reset(let id, let code): users[id]?.streamReset(code: code)
        case .stopSending(let id, let code): users[id]?.streamStopped(code: code)
        case .streamClosed(let id): users.removeValue(forKey: id)?.streamClosed()
        case .datagram(let flow, let bytes): users[StreamID(flow)]?.streamDatagram(bytes)
        case .finished, .closed: break
        case .streamOpened, .streamsAvailable, .legValidated, .legSuspect, .legActivated, .legClosed,
            .pathChallenge, .pathResponse:
            owner?.event(event, in: self)
        }
    }
}

/// Codes of RESET_STREAM and STOP_SENDING on session streams (protocol.md, section 7.2).
public enum SessionError {
    /// The other side's TCP connection was reset or failed.
    public static let connectionReset: UInt64 = 1
    /// The stream's user is gone or did not behave.
    public static let cancelled: UInt64 = 2
}

/// The sessions that have something to do before the loop waits.
public final class SessionTurn {
    /// The loop of all its sessions.
    public let loop: Loop
    private var touched: [Session] = []
    private var settling: [Session] = []

    /// An empty list for sessions on `loop`.
    public init(loop: Loop) { self.loop = loop }

    /// The loop's time.
    public var now: Instant { Instant(nanoseconds: loop.now) }

    fileprivate func add(_ session: Session) {
        touched.append(session)
        loop.wake()
    }

    /// Settles each touched session once; what that touches again waits for the next turn, which follows without waiting.
    public func run() {
        guard !touched.isEmpty else { return }
        swap(&touched, &settling)
        for session in settling { session.settle() }
        settling.removeAll(keepingCapacity: true)
    }
}
