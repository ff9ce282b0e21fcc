internal import Directory
internal import EventLoop
internal import Links
internal import Onion
internal import OnionCrypto
internal import Paths
internal import Sessions
internal import Transport
internal import Wire

/// One isolation key's session: an active leg, a standby leg to the same exit, and the streams over them.
///
/// It has more members than most types, since it wires the parts that have the rules of its legs and streams.
final class ClientSession: SessionOwner, PathUser {
    /// How long an idle session wants a standby leg; after that, old ones are not replaced.
    static let standbyLimit = TimeSpan.seconds(60)
    /// After this many pauses in a row for refused streams, new streams go to another exit.
    static let refusalLimit = 3
    /// The limits of its connection: an exit must not open streams, so it may not open more than the protocol's first
    /// ones.
    private static let configuration: ConnectionConfiguration = {
        var limits = ConnectionConfiguration()
        limits.maxPeerStreams = 0
        return limits
    }()

    let key: IsolationKey
    let exit: NodeID
    /// When the session began.
    let since: Instant
    let session: Session
    private let pool: PathPool
    private weak var owner: (any ClientSessionOwner)?
    private let streamLimit: Int
    private var newStreams: Pace
    private let id: [UInt8]
    private let secret: Secret
    private(set) var legs: [LegID: Path] = [:]
    private var watch = LegWatch()
    private(set) var losses = LegLosses()
    private var nextLeg: UInt8 = 0
    private var builds = LegBuilds()
    private var legless = LeglessTime()
    private var use = SessionUse()
    private var failedHosts = FailedHosts()
    private(set) var isOver = false

    /// The session of `key` with `path`, which is ready, as its first leg.
    init(
        turn: SessionTurn, pool: PathPool, path: Path, key: IsolationKey, owner: any ClientSessionOwner, now: Instant
    ) {
        self.pool = pool
        self.key = key
        self.owner = owner
        let limits = pool.limits
        streamLimit = max(limits.streamsPerSession, InitialLimits.streams)
        newStreams = Pace(perSecond: limits.streamsPerSecond, burst: limits.streamBurst, now: now)
        since = now
        exit = path.exit
        guard let id = path.built?.layers.secrets.sessionID, let secret = path.built?.layers.secrets.session.clone()
        else {
            preconditionFailure("a session begins on a ready path")
        }
        self.id = id
        self.secret = secret
        session = Session(turn: turn, role: .initiator, configuration: Self.configuration, seed: SecureRandom.u64())
        session.owner = self
        add(path, hello: .newSession, now)
    }

    var streamCount: Int { session.streamCount }
    /// Since when the session has been idle; nil while it is not.
    var idleSince: Instant? { use.idleSince }
    /// Whether the session can end at once: no stream has a user, and released streams have ended or had time to.
    var isIdle: Bool { streamCount == 0 && (idleSince != nil || session.connection.openStreamCount == 0) }

    /// Whether the session takes no new streams; it ends when its streams have ended.
    var isRetired = false
    /// Before this moment a retired session does not end for being idle.
    var staysUntil = Instant(nanoseconds: 0)
    /// Whether the exit has said that it is draining.
    private(set) var exitDrains = false

    var paths: [Path] { Array(legs.values) }

    /// Whether there is room for another stream.
    ///
    /// An exit may report the ends of streams a little late. If twice its limit is open, some of them never end.
    private var hasRoom: Bool {
        !isOver && !isRetired && !session.connection.isClosed && session.connection.streamsAvailable > 0
            && session.connection.openStreamCount < streamLimit * 2
    }

    /// Whether the exit may have forgotten the session.
    ///
    /// That is so when the last leg was lost and the exit has answered over no leg since. A stream that began now could
    /// end with the session; apps that wait get a stream of the next one.
    var isInDoubt: Bool { legless.isUnanswered }

    /// Whether a stream may begin now at the rate that the exit allows; if so, the stream is counted.
    func takesStream(_ now: Instant) -> Bool {
        guard hasRoom, !isInDoubt, newStreams.admits(now) else { return false }
        newStreams.take()
        return true
    }

    /// The exit has refused a stream because it has too many; no other stream begins for a while.
    func streamRefused() { newStreams.refused(now) }

    /// The exit has accepted a stream.
    func streamTaken() { newStreams.accepted() }

    /// The exit has opened a stream, or found what was looked up.
    func streamSucceeded() {
        newStreams.accepted()
        failedHosts.succeeded()
    }

    /// The exit has failed to open a stream to `host`, or to look it up.
    func streamFailed(to host: Destination.Host) { failedHosts.failed(host, at: now) }

    /// Whether the exit fails whatever it is asked for.
    var isFailing: Bool { failedHosts.isTooMany(at: now) }

    /// Whether the exit keeps refusing streams that it should accept.
    var isRefused: Bool { newStreams.refusals >= Self.refusalLimit }

    /// Whether the session has no room, and may never have room again: more streams could begin only after others end.
    ///
    /// With fewer streams than three quarters of the exit's limit, the session first waits a while for the exit to
    /// report ends.
    var isFull: Bool { !hasRoom && (session.streamCount >= streamLimit / 4 * 3 || use.lacksRoom) }

    /// The memory that the session holds, counted for `key`; notes whether bytes have moved.
    func holder(for key: IsolationKey, _ now: Instant) -> MemoryHolder<IsolationKey> {
        MemoryHolder(source: key, bytes: session.memoryUse, isStalled: session.noteProgress(at: now))
    }

    /// Whether the path carries this session's data.
    func isActive(_ path: Path) -> Bool { path.session === self && session.connection.activeLeg == path.leg }

    /// The smoothed round-trip time over a path; nil until something has come back over it.
    func roundTrip(of path: Path) -> TimeSpan? {
        guard let status = session.connection.legStatus(path.leg), status.everAcknowledged else { return nil }
        return status.smoothedRTT
    }

    // MARK: Legs

    private func add(_ path: Path, hello kind: LegHello.Kind?, _ now: Instant) {
        let leg = LegID(nextLeg)
        nextLeg &+= 1
        let mac = path.built?.layers.secrets.joinMAC(session: secret, leg: leg.value) ?? []
        let hello = LegHello(leg: leg.value, kind: kind ?? .join(session: id, mac: mac))
        path.session = self
        path.leg = leg
        guard
            session.connection.addLeg(
                leg, payloadSize: pool.payloadSize, preamble: hello.encoded, initialRTT: path.buildTime, now: now)
        else {
            path.session = nil
            return pool.end(path)
        }
        legs[leg] = path
        if session.connection.activeLeg == nil { session.connection.activate(leg, now: now) }
        leaveSuspect(now)
        // The exit learns of a standby leg from its first packet.
        session.connection.ping(leg)
        legless.ended()
        session.touch()
    }

    /// Removes the leg of a path that is over; its data goes over another leg at once.
    func pathDied(_ path: Path, _ end: Path.End, isYoung: Bool) {
        guard legs.removeValue(forKey: path.leg) != nil, !isOver else { return }
        watch.remove(path.leg)
        let now = now
        let wasActive = session.connection.activeLeg == path.leg
        let wasAnswered = session.connection.legStatus(path.leg)?.everAcknowledged ?? false
        session.connection.removeLeg(path.leg, now: now)
        if end.isLoss, !pool.isOld(path, now) {
            let entry = end == .byExit ? nil : pool.suspect(of: path)
            losses.lost(middle: isYoung ? path.beforeExit : nil, over: entry, at: now)
        }
        if wasActive, let other = legs.keys.first { session.connection.activate(other, now: now) }
        leaveSuspect(now)
        if legs.isEmpty { legless.began(wasAnswered: wasAnswered, at: now) }
        session.touch()
        keep(now)
    }

    private var now: Instant { Instant(nanoseconds: session.turn.loop.now) }

    /// Keeps two legs, replaces old ones, and ends the legs or the session if they cannot go on.
    ///
    /// Called several times a second, and when a leg changes.
    func keep(_ now: Instant) {
        guard !isOver else { return }
        use.look(
            users: session.streamCount, open: session.connection.openStreamCount, hasRoom: hasRoom, at: now)
        if use.isOver(isRetired: isRetired && now >= staysUntil) { return end() }
        // The link to a guard may take longer to come up than a session without a leg lasts.
        if legless.isNow, pool.awaitsLinks { legless.heldUp(at: now) }
        if legless.isOver(at: now) { return end() }
        if losses.isOver(at: now) {
            if losses.isExitsDoing(at: now) { pool.trust.distrust(exit, at: now) }
            return end()
        }
        let overdue = watch.overdue(at: now, among: legs.keys, isLineSilent: pool.isLineSilent) { leg in
            session.connection.legStatus(leg)?.everAcknowledged ?? false
        }
        if let overdue, let path = legs[overdue] { return pool.end(path, .byOthers) }
        let fresh = legs.values.count { !pool.isOld($0, now) }
        let wanted = wantsStandby(now) ? 2 : 1
        // A draining exit accepts no further leg. A distrusted exit, which ends legs, gets no more of them.
        let takesNone = exitDrains || pool.trust.isDistrusted(exit, at: now)
        if fresh < wanted {
            if !takesNone || legs.isEmpty { buildLeg(now) }
        } else if wanted > 1, sharesGuard, !takesNone, builds.mayBeginApart(at: now), pool.passedOver == nil {
            builds.triedApart(at: now)
            buildLeg(now)
        }
        if fresh >= wanted, let old = legs.values.first(where: { pool.isOld($0, now) }) {
            retire(old, now)
        } else if fresh > 2, let path = superfluous {
            pool.end(path)
        }
    }

    /// Whether the session should have a second leg.
    ///
    /// It should while it has streams, and for a while after them unless other identities lack paths.
    private func wantsStandby(_ now: Instant) -> Bool {
        guard let idleSince else { return true }
        return now - idleSince < Self.standbyLimit && owner?.isTight != true
    }

    /// Ends a standby leg; false if there is none.
    func giveStandby() -> Bool {
        guard legs.count > 1, let path = superfluous else { return false }
        pool.end(path)
        return true
    }

    /// Whether all legs depend on one guard; false for paths of one hop, whose guard is the exit.
    private var sharesGuard: Bool {
        guard pool.hops > 1, let entry = legs.values.first?.entry else { return false }
        return legs.values.allSatisfy { $0.entry == entry }
    }

    /// The standby leg to end if one is too many, preferably one that shares its guard with another leg.
    private var superfluous: Path? {
        let standby = legs.values.filter { !isActive($0) }
        return standby.first { path in legs.values.contains { $0 !== path && $0.entry == path.entry } } ?? standby.first
    }

    /// Moves the data off an old path, and ends the path when none of its data is in flight.
    private func retire(_ path: Path, _ now: Instant) {
        if session.connection.activeLeg == path.leg {
            let other = legs.values.first { $0 !== path && !pool.isOld($0, now) }
            if let other { session.connection.activate(other.leg, now: now) }
            session.touch()
        } else if session.connection.legStatus(path.leg)?.bytesInFlight ?? 0 == 0 {
            pool.end(path)
        }
    }

    /// Moves the data off an active leg that is suspect, as soon as another leg answers.
    private func leaveSuspect(_ now: Instant) {
        guard let other = watch.replacement(for: session.connection.activeLeg, among: legs.keys) else { return }
        session.connection.activate(other, now: now)
        session.touch()
    }

    private func buildLeg(_ now: Instant) {
        let (before, isLegless) = (losses, legs.isEmpty)
        guard builds.mayBegin(isLegless: isLegless, at: now), losses.mayBuild(isLegless: isLegless, at: now) else {
            return
        }
        builds.began(at: now)
        let others = Array(legs.values) + pool.all.filter { $0.state == .building && $0.exit == exit }
        let avoiding = others.flatMap { $0.hops.dropLast() } + losses.middlesToAvoid(at: now)
        var hops: [NodeID] = []
        let urgency: GuardRoom.Urgency = !legs.isEmpty ? .standby : streamCount > 0 ? .lost : .identity
        do throws(PathFailure) {
            let chosen = try pool.build(to: .node(exit), avoiding: avoiding, for: urgency) { [weak self, pool] result in
                if let self { return built(result, hops) }
                if case .success(let path) = result { pool.end(path) }
            }
            guard let chosen else {
                // No build has begun, so it does not count as a leg that was built.
                losses = before
                return waitForGuards(now)
            }
            hops = chosen
        } catch {
            built(.failure(error), [])
        }
    }

    /// Handles the result of a build over `hops`, which may not have begun.
    private func built(_ result: Result<Path, PathFailure>, _ hops: [NodeID]) {
        let now = now
        switch result {
        case .success(let path):
            builds.succeeded()
            if isOver { pool.end(path) } else { add(path, hello: nil, now) }
        case .failure(let failure):
            builds.failed(at: now)
            if case .refused(pool.hops - 1, .draining) = failure { exitDrains = true }
            if failure.isRefusal(of: exit, hops: pool.hops) {
                losses.lost(middle: hops.dropLast().last, over: failure.isSaid ? nil : hops.first, at: now)
            }
            if isExitsFault(failure) {
                legless.exitFailed()
            } else if case .guardUnreachable = failure, !pool.hasReadyPath {
                legless.heldUp(at: now)
            } else if isAnothersFault(failure) {
                legless.othersFailed(at: now)
            }
            keep(now)
        }
    }

    /// No guard accepts a build now: the session tries again soon, and this wait does not end it.
    private func waitForGuards(_ now: Instant) {
        builds.refused(isLegless: legless.isNow, at: now)
        legless.heldUp(at: now)
    }

    /// Whether a failed build names the exit as its cause.
    private func isExitsFault(_ failure: PathFailure) -> Bool { failure.isFault(of: exit, hops: pool.hops) }

    /// Whether a build failed before the exit, which says nothing about the exit.
    private func isAnothersFault(_ failure: PathFailure) -> Bool {
        switch failure {
        case .guardUnreachable, .refused, .unbuildable: !isExitsFault(failure)
        case .noChoice, .noDescriptor, .linkFull, .timedOut, .choiceChanged: false
        }
    }

    // MARK: Packets and events

    /// Handles the decrypted payload of a packet.
    func received(_ payload: RawSpan, number: UInt64, on path: Path, now: Instant) {
        guard !isOver else { return }
        _ = session.connection.receive(leg: path.leg, packetNumber: number, payload: payload, now: now)
        if watch.answered(path.leg) { leaveSuspect(now) }
        session.touch()
    }

    func transmit(_ session: Session, now: Instant) -> Bool {
        for (leg, path) in legs { pool.transmit(session, on: leg, over: path, now: now) }
        return true
    }

    func event(_ event: ConnectionEvent, in session: Session) {
        switch event {
        case .legSuspect(let leg):
            watch.suspect(leg, at: now)
            session.connection.ping(leg)
            leaveSuspect(now)
        case .legClosed(let leg): if let path = legs[leg] { pool.end(path, .byExit) }
        case .streamOpened(let id):
            // An exit must not open streams.
            session.connection.reset(id, code: SessionError.cancelled)
            session.connection.stopSending(id, code: SessionError.cancelled)
        case .streamsAvailable: owner?.streamsAvailable(in: self)
        case .legValidated:
            legless.answered()
            owner?.streamsAvailable(in: self)
        case .datagram, .readable, .writable, .finished, .reset, .stopSending, .streamClosed, .legActivated,
            .pathChallenge, .pathResponse, .closed:
            break
        }
    }

    func closed(_ session: Session) { end(.byExit) }

    /// Ends the session: its streams, with an error, and its paths; `cause` says who ended it.
    func end(_ cause: Path.End = .ours) {
        guard !isOver else { return }
        isOver = true
        session.end()
        for path in legs.values { pool.end(path, cause) }
        legs = [:]
        owner?.sessionEnded(self)
    }
}
