internal import OnionCrypto
public import Transport
public import Wire

/// A session for the onion requests of one purpose to one target, over one path to their proxy.
///
/// It has no second leg. When its path ends, the session ends, and another proxy is drawn.
public final class RequestSession: SessionOwner {
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

    /// The session with the proxy.
    public let session: Session
    private let path: any RequestPath
    /// Called once, when the session ends otherwise than by ``end()``.
    private let lost: () -> Void
    /// Whether it has ended.
    public private(set) var isOver = false

    /// A session over `path`, which is ready; `lost` is called if the session ends by itself.
    public init(turn: SessionTurn, over path: any RequestPath, lost: @escaping () -> Void) {
        self.path = path
        self.lost = lost
        session = Session(turn: turn, role: .initiator, configuration: Self.configuration, seed: SecureRandom.u64())
        session.owner = self
        path.carry(self)
        let isAdded = session.connection.addLeg(
            Self.leg, payloadSize: path.payloadSize, preamble: LegHello(leg: 0, kind: .newSession).encoded,
            initialRTT: path.buildTime, now: turn.now)
        precondition(isAdded, "a new session takes a leg")
        session.connection.activate(Self.leg, now: turn.now)
    }

    // MARK: The path

    /// The path's nodes, guard first.
    public var hops: [NodeID] { path.hops }

    /// The smoothed round-trip time; nil until something has come back.
    public var roundTrip: TimeSpan? {
        guard let status = session.connection.legStatus(Self.leg), status.everAcknowledged else { return nil }
        return status.smoothedRTT
    }

    /// Handles the payload of a packet that came back.
    public func received(_ payload: RawSpan, number: UInt64, now: Instant) {
        guard !isOver else { return }
        _ = session.connection.receive(leg: Self.leg, packetNumber: number, payload: payload, now: now)
        session.touch()
    }

    /// Ends the session, whose path has ended.
    public func pathEnded() { if finish() { lost() } }

    // MARK: The session

    /// Sends what the session has to send.
    public func transmit(_ session: Session, now: Instant) -> Bool {
        path.transmit(session, on: Self.leg, now: now)
        return true
    }

    /// Ends the session if the proxy breaks its rules.
    public func event(_ event: ConnectionEvent, in session: Session) {
        switch event {
        // A proxy must not open streams.
        case .legClosed, .streamOpened: closed(session)
        case .datagram, .readable, .writable, .finished, .reset, .stopSending, .streamClosed, .streamsAvailable,
            .legValidated, .legSuspect, .legActivated, .pathChallenge, .pathResponse, .closed:
            break
        }
    }

    /// Ends the session and its path, because of the proxy.
    public func closed(_ session: Session) {
        guard finish() else { return }
        path.end(isByProxy: true)
        lost()
    }

    /// Ends the session and its path.
    public func end() { if finish() { path.end(isByProxy: false) } }

    /// Ends the session; false if it has ended before.
    private func finish() -> Bool {
        guard !isOver else { return false }
        isOver = true
        session.end()
        return true
    }
}
