internal import Directory
internal import EventLoop
internal import Link
internal import Onion
internal import OnionCrypto
internal import Sessions
internal import Transport
internal import Wire

/// The sessions that end at this node (protocol.md, section 7), with their legs, and limits of their number and memory.
///
/// The services handle the streams that peers open in the sessions.
final class SessionHost: PathListener {
    /// The time for which a session without legs is kept.
    static let legless = TimeSpan.seconds(60)
    /// The most sessions of all clients together.
    static let sessionLimit = 20_000

    /// The result of a leg's first packet.
    enum Admission {
        case session(HostedSession)
        /// The session does not exist, or there is no place for a new one.
        case noSession
        /// The first packet has a wrong MAC, or begins a session that exists already.
        case wrong
    }

    /// The most memory of all sessions in bytes; beyond it sessions end, beginning with those of the source that holds
    /// most.
    var memoryLimit = 1 << 30
    let services: StreamServices
    /// Decides when the relay's rate allows sessions to send.
    let rateGate: RateGate
    let limits: NetworkLimits
    let payloadSize: Int
    private let turn: SessionTurn
    private var sessions: [[UInt8]: HostedSession] = [:]
    private var lastNumber: UInt64 = 0
    /// The places of sessions, which are shared by the sources of their first paths: nodes, and clients' addresses in
    /// their networks.
    ///
    /// A session with streams that services have taken is marked as busy.
    private var places: SharedTable<LinkSource.Group, LinkSource, [UInt8]>

    /// No sessions yet.
    ///
    /// `services` serve their streams, and `rateGate` limits their sending.
    init(
        on loop: Loop, network: NetworkFile, services: StreamServices, rateGate: RateGate,
        sessionLimit: Int = SessionHost.sessionLimit
    ) {
        let turn = SessionTurn(loop: loop)
        self.turn = turn
        self.services = services
        self.rateGate = rateGate
        limits = network.limits
        payloadSize = network.packetSize - Packet.payloadOffset
        places = SharedTable(capacity: sessionLimit, most: sessionLimit)
        loop.addAtTurnEnd { [turn] in turn.run() }
    }

    /// The number of sessions.
    var sessionCount: Int { sessions.count }
    /// The number of the peers' streams that hold resources.
    var streamCount: Int { sessions.values.reduce(0) { $0 + $1.streams } }
    /// The memory of all sessions in bytes.
    var memoryUse: Int { sessions.values.reduce(0) { $0 + $1.session.memoryUse } }
    /// The legs of all sessions.
    var legs: [SessionLeg] { sessions.values.flatMap(\.legs.values) }

    // MARK: Paths

    func pathBuilt(_ path: TerminalPath, secrets: consuming SessionSecrets) -> any PathEnd {
        SessionLeg(path, secrets: secrets, at: self)
    }

    /// Finds or makes the session that a leg's first packet names.
    ///
    /// Called on the packet path.
    func find(_ hello: LegHello, for leg: SessionLeg, now: Instant) -> Admission {
        switch hello.kind {
        case .newSession:
            let id = leg.secrets.sessionID
            guard sessions[id] == nil else { return .wrong }
            guard makeRoom(for: id, of: leg) else { return .noSession }
            var configuration = ConnectionConfiguration()
            configuration.maxPeerStreams = limits.streamsPerSession
            lastNumber += 1
            let made = HostedSession(
                id: id, number: lastNumber, secret: leg.secrets.session.clone(),
                session: Session(
                    turn: turn, role: .responder, configuration: configuration, seed: SecureRandom.u64()),
                source: leg.path.source,
                newStreams: TokenBucket(perSecond: limits.streamsPerSecond, burst: limits.streamBurst, now: now),
                host: self)
            sessions[id] = made
            return .session(made)
        case .join(let id, let mac):
            guard let found = sessions[id] else { return .noSession }
            let expected = leg.secrets.joinMAC(session: found.secret, leg: hello.leg)
            return constantTimeEqual(expected.rawSpan, mac.rawSpan) ? .session(found) : .wrong
        }
    }

    /// Takes a place for a session.
    ///
    /// A source is mostly the last middle, behind which many clients are: one of them must not keep the others out, so
    /// that an idle session of the source gives way. Returns false if there is none.
    private func makeRoom(for session: [UInt8], of leg: SessionLeg) -> Bool {
        let source = leg.path.source
        switch places.insert(session, for: source, in: source.group, replacesOwn: true) {
        case .inserted: return true
        case .replaced(let other):
            // Paths must not be ended on the packet path.
            sessions[other]?.session.endSoon()
            return true
        case .refused: return false
        }
    }

    /// Notes whether a service has a stream of the session; sessions without such give way first.
    func setBusy(_ session: HostedSession, _ isBusy: Bool) { places.setBusy(session.id, isBusy) }

    // MARK: Ends

    /// Ends a session and its paths.
    func end(_ session: HostedSession) {
        sessions[session.id] = nil
        places.remove(session.id)
        session.end()
        services.requests.sessionEnded(session.number, over: session.source)
    }

    /// Ends sessions that have been without legs for too long, and some sessions if all together hold too much memory.
    ///
    /// To be called every second.
    func sweep(now: Instant) {
        for session in sessions.values {
            if let since = session.leglessSince, now - since >= Self.legless { end(session) }
        }
        let all = Array(sessions.values)
        for hosted in all { hosted.session.connection.trimBuffers() }
        let holders = all.map { $0.holder(now) }
        for number in MemoryHolder.losers(of: holders, limit: memoryLimit) { end(all[number]) }
    }

    /// Ends all sessions and their paths.
    func endSessions() {
        for session in sessions.values { end(session) }
    }

    /// Ends all sessions and the limit of the rate.
    func close() {
        rateGate.close()
        endSessions()
    }
}
