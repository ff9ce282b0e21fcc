internal import Directory
internal import EventLoop
internal import Link
internal import Links
internal import Onion
internal import OnionCrypto
internal import Sessions
internal import Transport
internal import Wire

/// The end of paths: their sessions, and the sessions' streams to the outside (protocol.md, section 7).
final class Exit: SessionOwner {
    /// How long a session without legs is kept.
    static let legless = TimeSpan.seconds(60)
    /// After how long a session that holds memory and moves nothing of it counts as stalled.
    static let stalledAfter = TimeSpan.seconds(5)
    /// How many sessions there may be.
    static let sessionLimit = 20_000
    /// How many paths whose session is not here are ended each second.
    static let orphanLimit = 1_024

    /// A path that ends here.
    private final class Leg {
        let path: PathHandle
        let link: UInt32
        /// Whom the path's link counted for when the path was built.
        let source: LinkSource
        let secrets: SessionSecrets
        /// Which leg of which session it is, once a LEG_HELLO has said so.
        var session: ExitSession?
        var id = LegID(0)
        /// Whether it stands among the orphans.
        var isOrphan = false

        init(path: PathHandle, link: UInt32, source: LinkSource, secrets: consuming SessionSecrets) {
            self.path = path
            self.link = link
            self.source = source
            self.secrets = secrets
        }
    }

    /// A session and what belongs to it here.
    private final class ExitSession {
        let id: [UInt8]
        let secret: Secret
        let session: Session
        /// Whom it counts for: the source of its first path.
        let source: LinkSource
        var legs: [LegID: Leg] = [:]
        var leglessSince: Instant?
        var streams = 0
        var newStreams: TokenBucket
        /// How much of its streams had moved when last looked at, and since when it is that.
        var moved: UInt64 = 0
        var movedAt: Instant
        /// Whether the rate keeps it from sending.
        var isHeldBack = false

        init(
            id: [UInt8], secret: consuming Secret, session: Session, source: LinkSource, newStreams: TokenBucket,
            now: Instant
        ) {
            self.id = id
            self.secret = secret
            self.session = session
            self.source = source
            self.newStreams = newStreams
            movedAt = now
        }

        /// What it holds in memory; notes whether anything has moved.
        func holder(_ now: Instant) -> MemoryHolder<LinkSource> {
            let count = session.connection.movedBytes
            // Who has nothing to move, or datagrams alone, does not stall.
            if count != moved || !session.connection.hasWaitingBytes { (moved, movedAt) = (count, now) }
            return MemoryHolder(source: source, bytes: session.memoryUse, isStalled: now - movedAt >= Exit.stalledAfter)
        }
    }

    /// What all sessions together may hold in memory, in bytes; beyond it sessions end, of the source that holds most first.
    var memoryLimit = 1 << 30
    private let turn: SessionTurn
    let gate: ExitGate
    private let limits: NetworkLimits
    private let payloadSize: Int
    private var legs: [PathHandle: Leg] = [:]
    private var sessions: [[UInt8]: ExitSession] = [:]
    /// Who has how many of them: each node, and each client's address, from which their first paths came has a share.
    ///
    /// A session with streams is busy.
    private var places: SharedTable<LinkSource, LinkSource, [UInt8]>
    /// Sessions that gave their places to others, to be ended outside of the packet path.
    private var replaced: [ExitSession] = []
    private var replacedTimer: LoopTimer?
    private var owners: [ObjectIdentifier: ExitSession] = [:]
    /// Paths whose session is not here, to be ended with the next sweep: a client whose exit was started anew, or has no place for it,
    /// learns so that it must begin again.
    private var orphans: [PathHandle] = []
    private let paths: PathService
    /// Says when the relay's rate lets sessions send.
    private let rateGate: RateGate
    /// The sessions that the rate keeps from sending: those that had no turn since it last let sessions send go on before those
    /// that had one.
    private var withoutTurn: [ExitSession] = []
    private var withTurn: [ExitSession] = []

    /// An exit whose sessions take their turns in `turn`, whose paths are `paths`', and which keeps to `rateGate`.
    init(
        turn: SessionTurn, gate: ExitGate, network: NetworkFile, paths: PathService, rateGate: RateGate,
        sessionLimit: Int = Exit.sessionLimit
    ) {
        self.turn = turn
        places = SharedTable(capacity: sessionLimit, most: sessionLimit)
        self.gate = gate
        self.paths = paths
        self.rateGate = rateGate
        limits = network.limits
        payloadSize = network.packetSize - Packet.payloadOffset
        rateGate.onOpen = { [unowned self] in goOn() }
        gate.shares.sourceOf = { [weak self] in self?.owners[ObjectIdentifier($0)]?.source }
        replacedTimer = LoopTimer(on: turn.loop) { [weak self] in self?.endReplaced() }
    }

    /// How many sessions there are.
    var sessionCount: Int { sessions.count }
    /// How many streams to the outside there are.
    var streamCount: Int { sessions.values.reduce(0) { $0 + $1.streams } }

    /// How many paths end here.
    var pathCount: Int { legs.count }
    /// The paths that are legs of sessions.
    var legPaths: [PathHandle] { legs.filter { $0.value.session != nil }.map(\.key) }
    /// How many paths are to be ended with the next sweep.
    var orphanCount: Int { orphans.count }
    /// How many UDP associations there are.
    var associationCount: Int { gate.associations.count }

    /// What all sessions together hold in memory, in bytes.
    var memoryUse: Int { sessions.values.reduce(0) { $0 + $1.session.memoryUse } }

    // MARK: Paths

    /// Takes a path that was built to here.
    func pathBuilt(_ path: PathHandle, link: UInt32, source: LinkSource, secrets: consuming SessionSecrets) {
        legs[path] = Leg(path: path, link: link, source: source, secrets: secrets)
    }

    /// Lets go of a path; its session goes on over its other legs, at once on one of them.
    func pathEnded(_ path: PathHandle) {
        guard let leg = legs.removeValue(forKey: path), let owner = leg.session else { return }
        let now = Instant(nanoseconds: turn.loop.now)
        owner.legs[leg.id] = nil
        owner.session.connection.removeLeg(leg.id, now: now)
        if owner.legs.isEmpty { owner.leglessSince = now }
        owner.session.touch()
    }

    /// Whether `path` carries the streams of a session: it is the leg in use, and no other could be built in its place while
    /// this node drains.
    func needs(_ path: PathHandle) -> Bool {
        guard let leg = legs[path], let owner = leg.session, owner.streams > 0 else { return false }
        return owner.session.connection.activeLeg == leg.id
    }

    // MARK: Packets

    /// Takes the open payload of a packet that ends here; false if it was refused.
    func received(_ payload: RawSpan, number: UInt64, on path: PathHandle, now: Instant) -> Bool {
        guard let leg = legs[path] else { return false }
        if leg.session == nil {
            guard join(leg, payload, now) else { return false }
        }
        guard let owner = leg.session else { return false }
        let verdict = owner.session.connection.receive(leg: leg.id, packetNumber: number, payload: payload, now: now)
        owner.session.touch()
        return verdict == .accepted
    }

    /// Finds or makes the session that a leg's first packet names; frames before that are refused.
    private func join(_ leg: Leg, _ payload: RawSpan, _ now: Instant) -> Bool {
        guard let hello = (try? LegHello.first(of: payload)) ?? nil else { return false }
        let id = LegID(hello.leg)
        let owner: ExitSession
        switch hello.kind {
        case .newSession:
            let sessionID = leg.secrets.sessionID
            guard sessions[sessionID] == nil, makeRoom(for: sessionID, of: leg) else { return false }
            var configuration = Configuration()
            configuration.maxPeerStreams = limits.streamsPerSession
            let session = Session(
                turn: turn, role: .responder, configuration: configuration, seed: SecureRandom.u64())
            session.owner = self
            owner = ExitSession(
                id: sessionID, secret: leg.secrets.session.clone(), session: session, source: leg.source,
                newStreams: TokenBucket(perSecond: limits.streamsPerSecond, burst: limits.streamBurst, now: now),
                now: now)
            sessions[sessionID] = owner
            owners[ObjectIdentifier(session)] = owner
        case .join(let sessionID, let mac):
            guard let found = sessions[sessionID] else {
                orphan(leg)
                return false
            }
            guard constantTimeEqual(leg.secrets.joinMAC(session: found.secret, leg: hello.leg).rawSpan, mac.rawSpan)
            else { return false }
            owner = found
        }
        guard owner.session.connection.addLeg(id, payloadSize: payloadSize, now: now) else { return false }
        owner.legs[id] = leg
        owner.leglessSince = nil
        leg.session = owner
        leg.id = id
        return true
    }

    /// Notes a path to be ended: the packet path is no place to change tables.
    private func orphan(_ leg: Leg) {
        guard !leg.isOrphan, orphans.count < Self.orphanLimit else { return }
        leg.isOrphan = true
        orphans.append(leg.path)
    }

    /// Takes a place for a session; false when there is none.
    private func makeRoom(for session: [UInt8], of leg: Leg) -> Bool {
        switch places.insert(session, for: leg.source) {
        case .inserted: return true
        case .replaced(let other):
            if let loser = sessions.removeValue(forKey: other) {
                replaced.append(loser)
                replacedTimer?.schedule(at: turn.loop.now)
            }
            return true
        case .refused:
            orphan(leg)
            return false
        }
    }

    private func endReplaced() {
        let ending = replaced
        replaced = []
        for owner in ending { end(owner) }
    }

    func transmit(_ session: Session, now: Instant) -> Bool {
        guard let owner = owners[ObjectIdentifier(session)] else { return true }
        var hasSent = false
        for (id, leg) in owner.legs {
            while session.connection.wantsToSend(leg: id, now: now) {
                guard rateGate.admits else {
                    holdBack(owner, hasSent)
                    return false
                }
                let isSent = paths.sendFromTerminal(leg.path, link: leg.link, now: now) { number, payload in
                    session.connection.writePacket(leg: id, packetNumber: number, into: &payload, now: now)
                }
                if !isSent { break }
                hasSent = true
                for _ in 0..<session.connection.numbersToSkip() { paths.skipNumber(leg.path) }
            }
        }
        return true
    }

    private func holdBack(_ owner: ExitSession, _ hasSent: Bool) {
        guard !owner.isHeldBack else { return }
        owner.isHeldBack = true
        if hasSent { withTurn.append(owner) } else { withoutTurn.append(owner) }
    }

    /// Lets the sessions that the rate held back send.
    private func goOn() {
        for owner in withoutTurn + withTurn {
            owner.isHeldBack = false
            owner.session.touch()
        }
        withoutTurn.removeAll(keepingCapacity: true)
        withTurn.removeAll(keepingCapacity: true)
    }

    // MARK: Events

    func event(_ event: Event, in session: Session) {
        guard let owner = owners[ObjectIdentifier(session)] else { return }
        switch event {
        case .streamOpened(let id): opened(id, owner)
        case .legClosed(let id):
            if let leg = owner.legs.removeValue(forKey: id) { paths.end(leg.path) }
        case .closed: end(owner)
        case .datagram, .readable, .writable, .finished, .reset, .stopSending, .streamClosed, .streamsAvailable,
            .legValidated, .legSuspect, .legActivated, .pathChallenge, .pathResponse:
            break
        }
    }

    private func opened(_ id: StreamID, _ owner: ExitSession) {
        // Charged before anything is made for it.
        let now = Instant(nanoseconds: turn.loop.now)
        guard owner.streams < limits.streamsPerSession, owner.newStreams.take(now: now) else {
            return ExitStream.refuse(id, in: owner.session, .tooManyStreams)
        }
        let stream = ExitStream(session: owner.session, id: id, gate: gate) { [weak self, weak owner] in
            guard let owner else { return }
            owner.streams -= 1
            if owner.streams == 0 { self?.places.setBusy(owner.id, false) }
        }
        owner.streams += 1
        if owner.streams == 1 { places.setBusy(owner.id, true) }
        owner.session.attach(stream, to: id)
    }

    private func end(_ owner: ExitSession) {
        sessions[owner.id] = nil
        places.remove(owner.id)
        owners[ObjectIdentifier(owner.session)] = nil
        owner.session.end()
        for leg in owner.legs.values { paths.end(leg.path) }
        owner.legs = [:]
    }

    /// Ends sessions whose last leg went long ago, and some where all together hold too much; to be called every second.
    func sweep(now: Instant) {
        for path in orphans where legs[path]?.session == nil { paths.end(path) }
        orphans.removeAll(keepingCapacity: true)
        for owner in sessions.values {
            if let since = owner.leglessSince, now - since >= Self.legless { end(owner) }
        }
        let owners = Array(sessions.values)
        let holders = owners.map { $0.holder(now) }
        for number in MemoryHolder.losers(of: holders, limit: memoryLimit) { end(owners[number]) }
    }

    /// Ends all sessions and their paths.
    func endSessions() {
        for owner in sessions.values { end(owner) }
        endReplaced()
    }

    /// Ends everything.
    func close() {
        endSessions()
        replacedTimer?.close()
        gate.resolver.close()
    }
}
