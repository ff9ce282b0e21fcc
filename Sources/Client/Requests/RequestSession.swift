internal import Directory
internal import OnionCrypto
internal import Requests
internal import Sessions
internal import Transport
internal import Wire

/// A session for the onion requests of one purpose to one target, over one path to their proxy.
///
/// It has no second leg. When its path ends, the session ends, and another proxy is drawn.
final class RequestSession: SessionOwner, PathUser {
    private static let leg = LegID(0)
    /// The smallest limits: a proxy sends answers on the streams of requests, and nothing else.
    ///
    /// A proxy can therefore make a session hold at most 1 MiB of unread bytes, and the state of the session's own
    /// streams.
    private static let configuration: ConnectionConfiguration = {
        var limits = ConnectionConfiguration()
        limits.maxStreamWindow = 0
        limits.maxConnectionWindow = 0
        limits.maxPeerStreams = 0
        limits.takesDatagrams = false
        limits.maxLegs = 1
        return limits
    }()

    let session: Session
    private let path: Path
    private let pool: PathPool
    /// Called once, when the session ends otherwise than by ``end()``.
    private let lost: () -> Void
    private(set) var isOver = false

    /// A session over `path`, which is ready; `lost` is called if the session ends by itself.
    init(turn: SessionTurn, pool: PathPool, path: Path, now: Instant, lost: @escaping () -> Void) {
        self.pool = pool
        self.path = path
        self.lost = lost
        session = Session(turn: turn, role: .initiator, configuration: Self.configuration, seed: SecureRandom.u64())
        session.owner = self
        path.session = self
        path.leg = Self.leg
        let isAdded = session.connection.addLeg(
            Self.leg, payloadSize: pool.payloadSize, preamble: LegHello(leg: 0, kind: .newSession).encoded,
            initialRTT: path.buildTime, now: now)
        precondition(isAdded, "a new session takes a leg")
        session.connection.activate(Self.leg, now: now)
    }

    // MARK: The path

    /// The path's guard.
    var entry: NodeID { path.entry }
    /// The path's nodes, guard first.
    var hops: [NodeID] { path.hops }

    func received(_ payload: RawSpan, number: UInt64, on path: Path, now: Instant) {
        guard !isOver else { return }
        _ = session.connection.receive(leg: Self.leg, packetNumber: number, payload: payload, now: now)
        session.touch()
    }

    func pathDied(_ path: Path, _ end: Path.End, isYoung: Bool) { over(nil) }

    func isActive(_ path: Path) -> Bool { !isOver }

    func roundTrip(of path: Path) -> TimeSpan? {
        guard let status = session.connection.legStatus(Self.leg), status.everAcknowledged else { return nil }
        return status.smoothedRTT
    }

    // MARK: The session

    func transmit(_ session: Session, now: Instant) -> Bool {
        pool.transmit(session, on: Self.leg, over: path, now: now)
        return true
    }

    func event(_ event: ConnectionEvent, in session: Session) {
        switch event {
        // A proxy must not open streams.
        case .legClosed, .streamOpened: over(.byExit)
        case .datagram, .readable, .writable, .finished, .reset, .stopSending, .streamClosed, .streamsAvailable,
            .legValidated, .legSuspect, .legActivated, .pathChallenge, .pathResponse, .closed:
            break
        }
    }

    func closed(_ session: Session) { over(.byExit) }

    /// Ends the session and its path.
    func end() {
        guard !isOver else { return }
        isOver = true
        session.end()
        pool.end(path)
    }

    /// Ends the session and calls `lost`; `end` says how its path ends, nil if the path has ended already.
    private func over(_ end: Path.End?) {
        guard !isOver else { return }
        isOver = true
        session.end()
        if let end { pool.end(path, end) }
        lost()
    }
}
