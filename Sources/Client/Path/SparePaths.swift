internal import Directory
internal import EventLoop
internal import Wire

/// The owner of isolation keys that wait for ready paths.
protocol PathTaker: AnyObject {
    /// Whether the key still waits for a path.
    func wantsPath(_ key: IsolationKey) -> Bool
    /// Takes the path that the key waited for; nil if the key no longer waits.
    func take(_ path: Path?, for key: IsolationKey)
    /// Ends a path that a key can do without; false if there is none.
    func giveWay() -> Bool
    /// How many sessions those who ask have.
    var sessionShares: IdentityShares { get }
}

/// The ready paths that no session uses, and the isolation keys that wait for one.
///
/// Only this class decides when to build again: in each call of ``fill()``, and after a pause if a build has failed.
final class SparePaths {
    /// The most builds at once for keys with needs; also the most other builds and ready paths together.
    static let buildsAtOnce = 32

    private struct Waiting {
        let key: IsolationKey
        let avoiding: NodeID?
        let needs: Descriptor.ExitSummary
        weak var taker: (any PathTaker)?

        var isWanted: Bool { taker?.wantsPath(key) ?? false }
    }

    /// The numbers of builds to any exit, and to exits with the features that a key needs.
    private struct Builds {
        var plain = 0
        var apart = 0
    }

    private let pool: PathPool
    private let exitWatch: ExitWatch
    /// How many paths are kept ready.
    private var wanted: Int
    private var ready: [Path] = []
    /// The keys that wait, each once, in order of arrival; a key of those with fewer sessions goes first.
    private var waiting: [Waiting] = []
    private var building = Builds()
    /// How many builds have failed in a row.
    private var failures = 0
    /// How many ready paths in a row were ended young by others, and when the last one was.
    private var losses = (count: 0, at: Instant(nanoseconds: 0))
    /// No build begins before this.
    private var nextBuild = Instant(nanoseconds: 0)
    /// Continues the builds for keys that wait.
    private var timer: LoopTimer?

    /// Keeps `wanted` paths ready; exits that `exitWatch` knows to be down are used only if there are no others.
    init(pool: PathPool, exitWatch: ExitWatch, wanted: Int, loop: Loop) {
        self.pool = pool
        self.exitWatch = exitWatch
        self.wanted = wanted
        timer = LoopTimer(on: loop) { [weak self] in self?.fill() }
    }

    private var directory: DirectoryClient { pool.directory }

    // MARK: Taking

    /// A ready path to an exit with `needs`, and not to `avoiding` if possible.
    ///
    /// Nil if there is none now; `taker` then gets one when it is built, never inside this call.
    func take(for key: IsolationKey, avoiding: NodeID?, needs: Descriptor.ExitSummary, by taker: any PathTaker) -> Path?
    {
        let fitting = ready.indices.filter { directory.fits(ready[$0].exit, needs) }
        let index = fitting.first { ready[$0].exit != avoiding } ?? (ready.count > wanted ? fitting.first : nil)
        let path = index.map { ready.remove(at: $0) }
        path?.spares = nil
        if path == nil {
            waiting.append(Waiting(key: key, avoiding: avoiding, needs: needs, taker: taker))
        }
        fill()
        return path
    }

    private func add(_ path: Path) {
        let fitting = waiting.indices.filter { directory.fits(path.exit, waiting[$0].needs) }
        let willing = fitting.filter { waiting[$0].avoiding != path.exit }
        // Keys with needs come first. If there are enough ready paths and the waiting keys avoid all their exits, there
        // is no other exit.
        let index =
            next(of: willing.filter { !waiting[$0].needs.isEmpty }) ?? next(of: willing)
            ?? (ready.count >= wanted ? next(of: fitting) : nil)
        if let index {
            let entry = waiting.remove(at: index)
            if let taker = entry.taker { return taker.take(path, for: entry.key) }
        }
        path.spares = self
        ready.append(path)
    }

    /// The place of the waiting key that gets the next path: the first of those who have the fewest sessions.
    ///
    /// A web page can ask for many hosts, each with a key of its own. Other apps do not wait for all of these paths.
    private func next(of places: [Int]) -> Int? {
        guard places.count > 1, let taker = waiting[places[0]].taker else { return places.first }
        let held = taker.sessionShares
        return places.min { held.size(of: waiting[$0].key) < held.size(of: waiting[$1].key) }
    }

    /// Removes the keys that no app waits for any more.
    private func forgetUnwanted() {
        guard waiting.contains(where: { !$0.isWanted }) else { return }
        let unwanted = waiting.filter { !$0.isWanted }
        waiting.removeAll { !$0.isWanted }
        for entry in unwanted { entry.taker?.take(nil, for: entry.key) }
    }

    /// Whether keys wait for a path or few places are left, so that other identities should manage with fewer paths.
    var isTight: Bool { !waiting.isEmpty || pool.isTight }

    /// Whether paths are being built, one after the other, for keys that wait.
    var isAdvancing: Bool { !waiting.isEmpty && pool.now - pool.counts.lastBuilt < PathPool.buildLimit }

    // MARK: Building

    /// Begins the missing builds.
    func fill() {
        forgetUnwanted()
        let apart = waiting.filter { !$0.needs.isEmpty }
        while pool.now >= nextBuild, building.apart < min(apart.count, Self.buildsAtOnce) {
            let terminal = directory.exit(for: apart[building.apart].needs)
            guard build(to: terminal, for: urgency(forIdentity: true), \.apart) else { break }
        }
        let plain = waiting.count - apart.count
        while pool.now >= nextBuild, ready.count + building.plain < min(wanted + plain, Self.buildsAtOnce) {
            guard build(to: directory.exit, for: urgency(forIdentity: building.plain < plain), \.plain) else { break }
        }
        if waiting.count > building.apart + building.plain {
            timer?.schedule(at: (pool.now + PathPool.buildPace.interval * 2).nanoseconds)
        }
    }

    /// The urgency of the next build.
    private func urgency(forIdentity: Bool) -> GuardRoom.Urgency {
        let isBuilding = building.plain + building.apart > 0
        return Self.urgency(hasPath: pool.hasReadyPath, isBuilding: isBuilding, forIdentity: forIdentity)
    }

    /// The urgency of a build: as for lost legs if there is no path and no build under way.
    ///
    /// A guard that has restarted may refuse the first build. The reserve that a build of a spare path needs would then
    /// take half a minute to refill, in which no identity would get a path.
    static func urgency(hasPath: Bool, isBuilding: Bool, forIdentity: Bool) -> GuardRoom.Urgency {
        if !hasPath, !isBuilding { return .lost }
        return forIdentity ? .identity : .spare
    }

    /// Begins a build and counts it in `count`; false if no guard accepts it now.
    private func build(
        to terminal: TerminalRequirement, for urgency: GuardRoom.Urgency, _ count: WritableKeyPath<Builds, Int>
    ) -> Bool {
        building[keyPath: count] += 1
        if begin(to: terminal, for: urgency, count) { return true }
        if urgency == .identity, makeRoom(), begin(to: terminal, for: urgency, count) { return true }
        building[keyPath: count] -= 1
        return false
    }

    private func begin(
        to terminal: TerminalRequirement, for urgency: GuardRoom.Urgency, _ count: WritableKeyPath<Builds, Int>
    ) -> Bool {
        let avoiding =
            ready.map(\.exit) + waiting.compactMap(\.avoiding) + exitWatch.down + pool.trust.distrusted(at: pool.now)
        let ended = { [weak self] (result: Result<Path, PathFailure>) in
            guard let self else { return }
            building[keyPath: count] -= 1
            switch result {
            case .success(let path):
                failures = 0
                add(path)
            case .failure:
                failures += 1
                nextBuild = pool.now + PathPool.pause(after: failures)
            }
        }
        do throws(PathFailure) {
            return try pool.build(to: terminal, avoiding: avoiding, for: urgency, completion: ended) != nil
        } catch {
            ended(.failure(error))
            return true
        }
    }

    /// If there is no room, ends a path that is less urgent than that of a waiting key; false if none was ended.
    private func makeRoom() -> Bool {
        guard pool.isFull else { return false }
        guard let path = ready.last else { return waiting.first?.taker?.giveWay() ?? false }
        pool.end(path)
        return true
    }

    // MARK: Ending

    /// Keeps `count` ready paths from now on.
    func keep(_ count: Int) {
        wanted = count
        while ready.count > count, let path = ready.last { pool.end(path) }
        fill()
    }

    /// Ends the ready paths for which `isUnwanted` holds, and builds others.
    func renew(where isUnwanted: (Path) -> Bool) {
        end(where: isUnwanted)
        // Earlier builds followed the old choice, so their pause does not apply.
        nextBuild = pool.now
        fill()
    }

    /// Ends the ready paths for which `isUnwanted` holds; others are built when they are due.
    func end(where isUnwanted: (Path) -> Bool) {
        for path in ready where isUnwanted(path) { pool.end(path) }
    }

    /// Replaces old ready paths; to be called several times a second.
    func sweep() {
        let now = pool.now
        end { pool.isOld($0, now) }
        fill()
    }

    /// Removes a ready path that is over.
    ///
    /// A hop that ends spare paths must not decide how many are built: the pause before the next one grows each time.
    func pathDied(_ path: Path, _ end: Path.End, isYoung: Bool) {
        if end.isLoss, isYoung {
            let now = pool.now
            losses = (now - losses.at < ExitTrust.window ? losses.count + 1 : 1, now)
            nextBuild = max(nextBuild, now + PathPool.pause(after: min(losses.count, 64)))
        }
        ready.removeAll { $0 === path }
    }

    /// Ends building, and forgets the keys that wait.
    func close() {
        waiting = []
        wanted = 0
        timer?.close()
    }
}
