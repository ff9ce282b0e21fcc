internal import Directory
internal import EventLoop
internal import Logging
internal import OnionCrypto
internal import Sessions
internal import Wire

/// The sessions of a client by isolation key, and the apps that wait for one.
///
/// It has more members than most types: most are tables by isolation key, which change together.
final class ClientSessions: SessionSource, PathTaker, ClientSessionOwner {
    /// How many isolation keys may have a session at once.
    static let limit = 256
    /// For how many keys the last exit is remembered.
    static let lastExitLimit = 1_024
    /// How long a key stays with its exit, even if this fails all its streams, after it has left one for that.
    static let failingPause = TimeSpan.seconds(600)
    /// Over how many milliseconds the ends of idle sessions are spread that are retired at one time.
    static let spread: UInt64 = 60_000
    /// The pause between attempts to open streams for waiting apps.
    private static let queuePause = TimeSpan.milliseconds(20)

    private let turn: SessionTurn
    private let pool: PathPool
    private let spares: SparePaths
    /// Whether sessions can begin.
    let readiness: Readiness
    private let log: Logger
    /// How many apps of one key may wait.
    private let appLimit: Int
    /// The session in which each isolation key's new streams begin.
    private(set) var current: [IsolationKey: ClientSession] = [:]
    /// Sessions that take no new streams, kept until their streams have ended.
    private(set) var retired: [ClientSession] = []
    /// The keys that wait for a path to begin a session, with the features that their exits must have.
    private(set) var beginning: [IsolationKey: Descriptor.ExitSummary] = [:]
    /// The apps that wait for a stream.
    private(set) var waiting: [IsolationKey: AppQueue] = [:]
    /// The last exits of keys without a session; their next sessions avoid them.
    private(set) var lastExit: [IsolationKey: NodeID] = [:]
    /// When keys left exits that failed all their streams, in the last ``failingPause``.
    private var leftFailing: [IsolationKey: Instant] = [:]
    private var queueTimer: LoopTimer?
    /// The identity that is being ended for another one; no session begins for it.
    private var displaced: IsolationKey?
    /// Until when no further identity that is turned away is logged.
    private var identitiesSaidUntil = Instant(nanoseconds: 0)
    /// The most bytes of memory that all sessions may hold together.
    ///
    /// Beyond it sessions end, those of the key that holds the most first.
    var memoryLimit = 512 << 20
    private var nextSweep = Instant(nanoseconds: 0)
    private(set) var isClosed = false

    init(pool: PathPool, spares: SparePaths, appLimit: Int, log: Logger, loop: Loop) {
        turn = SessionTurn(loop: loop)
        self.pool = pool
        self.spares = spares
        readiness = Readiness(pool: pool, loop: loop)
        self.appLimit = appLimit
        self.log = log
        loop.addAtTurnEnd { [turn] in turn.run() }
        queueTimer = LoopTimer(on: loop) { [weak self] in self?.advanceQueues() }
    }

    private var now: Instant { pool.now }
    private var directory: DirectoryClient { pool.directory }

    /// All sessions, those in which streams begin first.
    var all: [ClientSession] { Array(current.values) + retired }
    /// All sessions but those that only wait for their end.
    var inUse: [ClientSession] { current.values + retired.filter { !$0.isIdle } }

    // MARK: Apps

    /// Opens a stream for the app in its isolation key's session, now or when there is one; the app's own deadline
    /// bounds the wait.
    ///
    /// If that session's exit lacks a feature of `needs`, the key gets a second session to an exit that has it.
    func connect(_ app: some SessionApp, isolation: IsolationKey, needs: Descriptor.ExitSummary = []) {
        guard !isClosed else { return app.fail(.noPath) }
        var (isolation, needs) = (isolation, needs)
        if !needs.isEmpty {
            // A web page can cause a stream to an IPv6 address. If that began the session of all streams, the page
            // would choose the set that their exit is drawn from. Only apps cause UDP: for it an exit is asked for that
            // all streams of the key can use, if there is one.
            let forAll = needs.union(.ipv4)
            let isFitting =
                current[isolation].map { directory.fits($0.exit, needs) }
                ?? beginning[isolation]?.isSuperset(of: needs) ?? (needs == .udp && directory.hasExit(with: forAll))
            if isFitting { needs = forAll } else { isolation.needs = needs }
        }
        guard isolation != displaced else { return app.fail(.tooManyIdentities(Self.limit)) }
        if let session = current[isolation] {
            // Apps that came earlier go first.
            if !wantsPath(isolation), session.takesStream(now) { return app.open(on: session.session) }
            if session.isFull { retire(isolation) }
        }
        // Without a path, the app would wait in vain.
        guard !directory.choiceLeavesNothing(hops: pool.hops), current[isolation] != nil || !readiness.isWithoutPaths
        else {
            return app.fail(.noPath)
        }
        var other: IsolationKey?
        if waiting[isolation] == nil, current[isolation] == nil, current.count + beginning.count >= Self.limit {
            if let idle = idleToEnd(for: isolation) {
                idle.end()
            } else {
                other = identityToEnd(for: isolation)
                noteIdentities()
                guard other != nil else { return app.fail(.tooManyIdentities(Self.limit)) }
            }
        }
        guard waiting[isolation]?.hasRoom(appLimit) ?? true else { return app.fail(.noPath) }
        waiting[isolation, default: AppQueue()].append(app)
        if current[isolation] == nil { begin(isolation, needs: needs) } else { advanceSoon() }
        if let other { end(other) }
    }

    /// Ends the identity of `key`, whose place another one has: its streams, and the apps that wait for one.
    private func end(_ key: IsolationKey) {
        displaced = key
        failWaiting(for: key, .tooManyIdentities(Self.limit))
        current[key]?.end()
        displaced = nil
        // The path that was to be built for it is built for another.
        spares.fill()
    }

    /// Whether an app of this key that has waited for long may keep waiting.
    ///
    /// It may if the key has a session that is not in doubt, because the exit may accept only a few streams at a time.
    /// It also may while paths are built one after the other.
    func mayWaitOn(_ key: IsolationKey) -> Bool {
        current.values.contains { $0.key.shown == key.shown && !$0.isInDoubt } || spares.isAdvancing
    }

    /// Fails the apps that wait for a session: there is no path.
    func failWaiting() {
        for key in Array(waiting.keys) where current[key] == nil { failWaiting(for: key, .noPath) }
    }

    /// Fails the apps that wait for a session of `key`.
    private func failWaiting(for key: IsolationKey, _ reason: NoSession) {
        var queue = waiting.removeValue(forKey: key)
        while let app = queue?.next() { app.fail(reason) }
    }

    /// Logs that an identity was turned away, at most once a minute.
    private func noteIdentities() {
        guard now >= identitiesSaidUntil else { return }
        identitiesSaidUntil = now + .seconds(60)
        log.warning(
            "too many identities (\(Self.limit)) are in use; an app with one more user name, password or address was turned away"
        )
    }

    private func advanceSoon() {
        // A timer that is set stays: new apps must not delay waiting ones.
        guard queueTimer?.deadline == nil else { return }
        queueTimer?.schedule(at: (now + Self.queuePause).nanoseconds)
    }

    /// Opens streams for the waiting apps of every key that has a session.
    private func advanceQueues() {
        guard !isClosed else { return }
        for key in waiting.keys { if let session = current[key] { openWaiting(on: session) } }
        if waiting.keys.contains(where: { current[$0].map { !$0.isInDoubt } ?? false }) { advanceSoon() }
    }

    /// Opens streams for waiting apps while the session has room.
    private func openWaiting(on session: ClientSession) {
        let (key, now) = (session.key, now)
        while wantsPath(key), session.takesStream(now), let app = waiting[key]?.next() { app.open(on: session.session) }
        guard wantsPath(key) else {
            waiting[key] = nil
            return
        }
        // A session in doubt reports when its exit has answered.
        guard session.isFull else { return session.isInDoubt ? () : advanceSoon() }
        retire(key)
        begin(key)
    }

    // MARK: Beginning

    /// Whether apps of the key wait.
    func wantsPath(_ key: IsolationKey) -> Bool { waiting[key]?.isWaiting ?? false }

    /// Begins a session for `key` as soon as there is a path, to an exit with `needs`.
    private func begin(_ key: IsolationKey, needs: Descriptor.ExitSummary = []) {
        guard current[key] == nil, beginning[key] == nil else { return }
        let needs = needs.union(key.needs)
        beginning[key] = needs
        if let path = spares.take(for: key, avoiding: lastExit[key], needs: needs, by: self) { take(path, for: key) }
    }

    func take(_ path: Path?, for key: IsolationKey) {
        beginning[key] = nil
        guard let path else {
            waiting[key] = nil
            return
        }
        // The path may have ended meanwhile.
        guard path.state == .ready else { return begin(key) }
        let session = ClientSession(turn: turn, pool: pool, path: path, key: key, owner: self, now: now)
        current[key] = session
        lastExit[key] = nil
        openWaiting(on: session)
    }

    // MARK: Ending

    func sessionEnded(_ session: ClientSession) {
        let key = session.key
        guard current[key] === session else { return }
        current[key] = nil
        noteExit(session.exit, of: key)
        if wantsPath(key) { begin(key) }
    }

    func streamsAvailable(in session: ClientSession) {
        if let current = current[session.key] { openWaiting(on: current) }
    }

    var isTight: Bool { spares.isTight }

    /// Ends the first of these that exists: a retired session that is idle, a standby leg of an idle session, a session
    /// that has been idle for a minute, any standby leg, any idle session.
    func giveWay() -> Bool {
        let now = now
        if let session = retired.first(where: { !$0.isOver && $0.idleSince != nil && $0.isIdle }) {
            session.end()
            return true
        }
        let idle = current.values.filter { $0.idleSince != nil && $0.isIdle }
            .sorted { ($0.idleSince ?? now) < ($1.idleSince ?? now) }
        if idle.contains(where: { $0.giveStandby() }) { return true }
        if let first = idle.first, now - (first.idleSince ?? now) >= ClientSession.standbyLimit {
            first.end()
            return true
        }
        if current.values.contains(where: { $0.giveStandby() }) { return true }
        idle.first?.end()
        return !idle.isEmpty
    }

    /// Retires the key's session: its streams are not affected, and new ones go over another path.
    ///
    /// With `isOneOfMany`, an idle session ends a drawn time later: if all ended at once, their exits could see by the
    /// times that the sessions are one client's.
    private func retire(_ key: IsolationKey, isOneOfMany: Bool = false) {
        guard let session = current.removeValue(forKey: key) else { return }
        session.isRetired = true
        if isOneOfMany {
            session.staysUntil = now + .milliseconds(Int64(truncatingIfNeeded: SecureRandom.u64() % Self.spread))
        }
        noteExit(session.exit, of: key)
        if retired.count >= Self.limit {
            let place = retired.firstIndex { $0.streamCount == 0 } ?? 0
            retired.remove(at: place).end()
        }
        retired.append(session)
        session.keep(now)
    }

    /// Makes the key's next session avoid `exit`.
    func noteExit(_ exit: NodeID, of key: IsolationKey) {
        if lastExit.count >= Self.lastExitLimit, lastExit[key] == nil, let other = lastExit.keys.first {
            lastExit[other] = nil
        }
        lastExit[key] = exit
    }

    /// Retires the key's session, and begins another if apps wait for it.
    func replace(_ key: IsolationKey, isOneOfMany: Bool = false) {
        retire(key, isOneOfMany: isOneOfMany)
        if wantsPath(key) { begin(key) }
    }

    /// Retires the sessions for which `isUnwanted` holds, and begins others if apps wait for them.
    func replace(where isUnwanted: (ClientSession) -> Bool) {
        for (key, session) in current where isUnwanted(session) { replace(key, isOneOfMany: true) }
    }

    // MARK: Time

    /// Maintains legs, and moves new streams away from exits that drain, are distrusted or refuse streams.
    func tick() {
        let now = now
        for (key, session) in current {
            session.keep(now)
            // Another session may have begun in its place.
            guard !session.isOver else { continue }
            let isDistrusted = pool.trust.isDistrusted(session.exit, at: now, since: session.since)
            if isDistrusted { log.notice("an exit ended several paths too soon; new streams go elsewhere") }
            let isFailing = session.isFailing && mayLeaveFailing(key, now)
            if isFailing { log.notice("an exit fails all streams of one key; new ones go elsewhere") }
            if session.isRefused { log.notice("an exit takes no more streams of one key; new ones go elsewhere") }
            if session.exitDrains || isDistrusted || isFailing || session.isRefused { replace(key) }
        }
        spares.end { pool.trust.isDistrusted($0.exit, at: now, since: $0.since) }
        for session in retired { session.keep(now) }
        retired.removeAll { $0.isOver }
        if now >= nextSweep {
            nextSweep = now + .seconds(1)
            sweepMemory(now)
        }
    }

    /// Whether the key may leave an exit that fails all its streams; if so, the time is noted.
    ///
    /// A web page can ask for hosts that do not exist. It could otherwise lead the key through all exits.
    private func mayLeaveFailing(_ key: IsolationKey, _ now: Instant) -> Bool {
        leftFailing = leftFailing.filter { now - $0.value < Self.failingPause }
        guard leftFailing[key] == nil, leftFailing.count < Self.limit else { return false }
        leftFailing[key] = now
        return true
    }

    /// Ends some sessions if all together hold too much memory.
    private func sweepMemory(_ now: Instant) {
        let all = all
        let holders = all.map { $0.holder(for: $0.key.shown, now) }
        for number in MemoryHolder.losers(of: holders, limit: memoryLimit) {
            log.notice("sessions hold too much memory; one whose apps do not read was ended")
            all[number].end()
        }
    }

    /// Ends all sessions; apps that ask for one later are turned away.
    func close() {
        isClosed = true
        queueTimer?.close()
        for session in all { session.end() }
    }
}
