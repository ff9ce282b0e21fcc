public import EventLoop
public import Transport
public import Wire

/// The owner of sessions: a role that knows the paths behind a session's legs.
public protocol SessionOwner: AnyObject {
    /// Sends packets on the session's legs for as long as its connection wants to.
    ///
    /// False if it held packets back: it then touches the session when they may be sent, and no timer does so before.
    func transmit(_ session: Session, now: Instant) -> Bool
    /// Handles an event that concerns no single stream, or a stream that the peer has opened.
    func event(_ event: ConnectionEvent, in session: Session)
    /// Ends the session: either end has closed its connection, or ``Session/endSoon()`` was called.
    func closed(_ session: Session)
}

/// The owner of one stream of a session.
public protocol StreamUser: AnyObject {
    /// Bytes, or the end of the peer's half, can be read.
    func streamReadable()
    /// There is room to write again.
    func streamWritable()
    /// The peer has reset its half.
    func streamReset(code: UInt64)
    /// The peer reads no more of our half.
    func streamStopped(code: UInt64)
    /// Both halves are done; the stream's number is invalid from here on.
    func streamClosed()
    /// The session has ended, and the stream with it; nothing can be sent or read any more.
    func sessionEnded()
    /// A datagram of the flow with the stream's number has arrived; dropped by default.
    func streamDatagram(_ bytes: [UInt8])
    /// The bytes that the user holds beside the session's own buffers; 0 by default.
    var heldBytes: Int { get }
}

extension StreamUser {
    /// No bytes.
    public var heldBytes: Int { 0 }
    /// Drops the datagram.
    public func streamDatagram(_ bytes: [UInt8]) {}
}

/// One session: its transport connection, its streams' users, and its turn on the loop.
///
/// It belongs to the loop's thread. A caller that changes the connection must call ``touch()``. At the end of the
/// loop's turn, the session then delivers its events, sends its packets and sets its timer.
public final class Session {
    /// The time after which a session counts as stalled if it has bytes to move and moves none.
    public static let stalledAfter = TimeSpan.seconds(5)
    /// The part of the bytes in its buffers that a session must move in that time, as a divisor.
    private static let progressPart = 64

    /// The transport of all legs.
    public var connection: Connection
    /// The role that knows the paths behind the legs; it must be set before the session's first turn.
    public weak var owner: (any SessionOwner)? { didSet { hasHadOwner = true } }
    private var hasHadOwner = false
    /// The list of touched sessions on its loop.
    public let turn: SessionTurn
    private var users: [StreamID: any StreamUser] = [:]
    private var timer: LoopTimer!
    fileprivate var isTouched = false
    /// Whether a socket had no room for the packets of this turn.
    private var isWaitingForRoom = false
    private var roomWait = RoomWait()
    private var isOver = false
    private var endsSoon = false
    /// The bytes that its streams had moved when it last made progress, and when that was.
    private var moved: (bytes: UInt64, since: Instant)

    /// A session without legs; the caller must set ``owner``.
    public init(turn: SessionTurn, role: ConnectionRole, configuration: ConnectionConfiguration, seed: UInt64) {
        self.turn = turn
        moved = (0, turn.now)
        connection = Connection(role: role, configuration: configuration, seed: seed)
        timer = LoopTimer(on: turn.loop) { [weak self] in self?.touch() }
    }

    /// The number of streams with a user; a released stream has none, even if the peer never ends it.
    public var streamCount: Int { users.count }

    /// Bytes of memory that the session and its streams' users hold, for accounting.
    public var memoryUse: Int { connection.memoryUse + users.values.reduce(0) { $0 + $1.heldBytes } }

    /// Notes whether its streams have moved bytes since the last look; returns whether the session is stalled.
    ///
    /// They must move a part of what their buffers take; else a byte now and then would keep any number of buffers.
    public func noteProgress(at now: Instant) -> Bool {
        let count = connection.movedBytes
        let least = UInt64(connection.bufferedBytes / Self.progressPart)
        // A session does not stall if it has nothing to move, or only datagrams.
        if count &- moved.bytes > least || !connection.hasWaitingBytes { moved = (count, now) }
        return now - moved.since >= Self.stalledAfter
    }

    /// Gives the stream `id` to `user` until it is closed or released.
    public func attach(_ user: any StreamUser, to id: StreamID) { users[id] = user }

    /// Takes the stream from its user, which gets no more events of it; the bytes written so far are still sent.
    public func release(_ id: StreamID) {
        users[id] = nil
        touch()
    }

    /// Gives up both halves of the stream with `code`, and releases it.
    public func abandon(_ id: StreamID, code: UInt64) {
        connection.reset(id, code: code)
        connection.stopSending(id, code: code)
        release(id)
    }

    /// Schedules the session for the end of the loop's turn.
    public func touch() {
        guard !isTouched, !isOver else { return }
        isTouched = true
        turn.add(self)
    }

    /// Makes the owner end the session at the end of the turn, for callers that must not end it at once.
    public func endSoon() {
        endsSoon = true
        touch()
    }

    /// Ends the session: tells every stream's user, and releases them; nothing is sent any more.
    public func end() {
        guard !isOver else { return }
        isOver = true
        timer.close()
        let left = users
        users = [:]
        for user in left.values { user.sessionEnded() }
    }

    /// Tries again soon; for an owner that could not send a packet because the socket has no room.
    public func waitForRoom() { isWaitingForRoom = true }

    /// Runs due timers, delivers events and sends packets.
    ///
    /// A touch before the packets are sent is part of this call. Events of the sending are delivered last; a touch by
    /// them waits for the next turn.
    fileprivate func settle() {
        precondition(hasHadOwner, "a session without an owner sends nothing")
        guard !isOver else { return }
        if endsSoon { owner?.closed(self) }
        guard !isOver else { return }
        let now = turn.now
        if let deadline = connection.nextDeadline, deadline <= now { connection.deadlineReached(now: now) }
        while !isOver, let event = connection.nextEvent() { handOut(event) }
        guard !isOver else { return }
        let isHeldBack = owner?.transmit(self, now: now) == false
        if !isWaitingForRoom { roomWait.ended() }
        isTouched = false
        // The packets that tell the other end have been sent.
        if connection.isClosed { owner?.closed(self) }
        guard !isOver else { return }
        while !isOver, let event = connection.nextEvent() { handOut(event) }
        guard !isOver else { return }
        if isWaitingForRoom {
            // Nothing tells the session when the socket has room, and a deadline may be over already.
            isWaitingForRoom = false
            timer.schedule(at: now.nanoseconds + roomWait.next())
        } else if !isHeldBack, let deadline = connection.nextDeadline {
            timer.schedule(at: deadline.nanoseconds)
        } else {
            timer.cancel()
        }
    }

    private func handOut(_ event: ConnectionEvent) {
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
    /// The stream's user is gone, or broke the rules.
    public static let cancelled: UInt64 = 2
}

/// The sessions with work to do before the loop waits.
public final class SessionTurn {
    /// The loop of all its sessions.
    public let loop: Loop
    private var touched: [Session] = []
    private var settling: [Session] = []

    /// An empty list for sessions on `loop`.
    public init(loop: Loop) { self.loop = loop }

    /// The loop's time: that of ``Loop/now``, as an `Instant`.
    public var now: Instant { Instant(nanoseconds: loop.now) }

    fileprivate func add(_ session: Session) {
        touched.append(session)
        loop.wake()
    }

    /// Settles each touched session once; a session touched meanwhile waits for the next turn, which follows at once.
    public func run() {
        guard !touched.isEmpty else { return }
        swap(&touched, &settling)
        for session in settling { session.settle() }
        settling.removeAll(keepingCapacity: true)
    }
}
