internal import Links
internal import Onion
internal import OnionCrypto
internal import Paths
internal import Sessions
internal import Transport
internal import Wire

/// A session with a proxy, for the requests of one storage test; it has one path.
final class TestSession: SessionOwner {
    private static let leg = LegID(0)
    /// The smallest limits: a proxy sends answers on the streams of requests, and nothing else.
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
    let link: LinkID
    private let links: Links
    private var path: BuiltPath?
    /// Called once, when the session ends otherwise than by ``end()``.
    private let lost: () -> Void
    private var isOver = false

    /// A session over `path`; `lost` is called if the session ends by itself.
    init(turn: SessionTurn, links: Links, packetSize: Int, path: consuming BuiltPath, lost: @escaping () -> Void) {
        self.links = links
        self.lost = lost
        link = path.link
        let buildTime = path.buildTime
        self.path = consume path
        session = Session(turn: turn, role: .initiator, configuration: Self.configuration, seed: SecureRandom.u64())
        session.owner = self
        let isAdded = session.connection.addLeg(
            Self.leg, payloadSize: packetSize - Packet.payloadOffset,
            preamble: LegHello(leg: 0, kind: .newSession).encoded, initialRTT: buildTime, now: links.now)
        precondition(isAdded, "a new session takes a leg")
        session.connection.activate(Self.leg, now: links.now)
    }

    // MARK: The path

    /// Takes a packet that came back; returns false if its layers do not verify.
    func received(_ packet: inout MutableRawSpan, commit: () -> Bool) {
        let now = links.now
        guard !isOver, case .packet(let number)? = path?.layers.open(&packet, now: now), commit() else { return }
        let payload = packet.bytes.extracting(droppingFirst: Packet.payloadOffset)
        _ = session.connection.receive(leg: Self.leg, packetNumber: number, payload: payload, now: now)
        session.touch()
    }

    /// The link or the path has ended.
    func pathLost() { over(tellsGuard: false) }

    // MARK: The session

    func transmit(_ session: Session, now: Instant) -> Bool {
        while session.connection.wantsToSend(leg: Self.leg, now: now) {
            let isSent = path?.send(over: links, now: now) { number, payload in
                session.connection.writePacket(leg: Self.leg, packetNumber: number, into: &payload, now: now)
            }
            guard isSent == true else { break }
            for _ in 0..<session.connection.numbersToSkip() { path?.layers.skipNumber() }
        }
        return true
    }

    func event(_ event: ConnectionEvent, in session: Session) {
        switch event {
        // A proxy must not open streams.
        case .legClosed, .streamOpened: over(tellsGuard: true)
        case .datagram, .readable, .writable, .finished, .reset, .stopSending, .streamClosed, .streamsAvailable,
            .legValidated, .legSuspect, .legActivated, .pathChallenge, .pathResponse, .closed:
            break
        }
    }

    func closed(_ session: Session) { over(tellsGuard: true) }

    /// Ends the session and its path.
    func end() { finish(tellsGuard: true) }

    private func over(tellsGuard: Bool) {
        guard !isOver else { return }
        finish(tellsGuard: tellsGuard)
        lost()
    }

    private func finish(tellsGuard: Bool) {
        guard !isOver else { return }
        isOver = true
        session.end()
        if let path = path.take() { path.end(on: links, tellsGuard: tellsGuard) }
    }
}
