internal import Directory
internal import EventLoop
internal import Links
internal import Onion
internal import OnionCrypto
internal import Paths
internal import Transport
internal import Wire

/// All paths of the client: building them, keeping ready ones, and their packets.
final class PathPool: PacketHandler {
    /// How long a guard's link may take to come up.
    static let linkLimit = TimeSpan.seconds(3)
    /// How long a build may take behind that.
    static let buildLimit = TimeSpan.seconds(10)
    /// How long a guard's link may be awaited before builds go through others beside it: a handshake takes two round trips.
    static let slowLink = TimeSpan.milliseconds(700)
    /// How many paths there may be at once.
    static let limit = 1_024
    /// How many paths may be in building for identities that wait and to become spare.
    static let buildsAtOnce = 32
    /// How many builds begin in one turn of this length: each costs a millisecond, in which nothing else is done.
    static let turn = (length: TimeSpan.milliseconds(10), builds: 8)
    /// How many places they are drawn from: many more, so that a path's place does not tell how many paths there are.
    static let places = 4_096

    private let links: Links
    private let loop: Loop
    private let directory: DirectoryClient
    /// How many hops a path has.
    let hops: Int
    private let packetSize: Int
    private let useLimit: TimeSpan
    private let maker: PathMaker
    /// By place.
    private var paths = [Path?](repeating: nil, count: PathPool.places)
    /// All paths that are building or ready.
    private(set) var all: [Path] = []
    /// Ready paths that no session uses.
    private var spare: [Path] = []
    private var sparesWanted: Int
    /// How many are being built to become spare, and to exits that have what a session needs.
    private var sparesBuilding = 0, apartBuilding = 0
    private var spareFailures = 0
    /// Since when builds are counted for the turn, and how many there were.
    private var turnBuilds = (since: Instant(nanoseconds: 0), count: 0)
    /// Goes on with builds for identities that wait.
    private var fillTimer: LoopTimer?
    /// When a path was built last.
    private var lastBuilt = Instant(nanoseconds: 0)
    /// Spare paths that others ended young, one after the other, and when the last one was.
    private var spareLosses = (count: 0, at: Instant(nanoseconds: 0))
    private var nextSpare = Instant(nanoseconds: 0)
    /// An identity that waits for a path.
    private struct Waiting {
        let avoiding: NodeID?
        let needs: Descriptor.ExitSummary
        let isWanted: () -> Bool
        /// Gets the path, or nothing when it is not wanted any more.
        let take: (Path?) -> Void
    }

    /// The identities that wait, each once, in the order in which they came.
    private var waiting: [Waiting] = []
    /// What the guards still take.
    private(set) var room: GuardRoom
    /// Ends a path that an identity can do without; false when there is none.
    var giveWay: () -> Bool = { false }
    private(set) var drops = [UInt64](repeating: 0, count: DropReason.allCases.count)
    private(set) var builds: UInt64 = 0
    private(set) var failedBuilds: UInt64 = 0
    private(set) var buildTimes: [TimeSpan] = []
    /// Why the last build failed, as long as none has succeeded since.
    private(set) var lastFailure: PathFailure?
    /// Which exits end paths too soon, and over which guards paths end too soon.
    var trust = ExitTrust()
    private var pauses = GuardPauses()
    /// Exits that are not to be chosen while another can be.
    var exitsToAvoid: () -> [NodeID] = { [] }
    /// Called when a path has become ready.
    var pathReady: () -> Void = {}

    init(
        links: Links, loop: Loop, directory: DirectoryClient, network: NetworkFile, hopCount: Int, useLimit: TimeSpan,
        spares: Int
    ) {
        self.useLimit = useLimit
        room = GuardRoom(network.limits)
        self.links = links
        self.loop = loop
        self.directory = directory
        maker = PathMaker(links: links, network: network.id, clock: { [directory] in directory.time })
        packetSize = network.packetSize
        hops = hopCount
        sparesWanted = spares
        fillTimer = LoopTimer(on: loop) { [weak self] in self?.fillSpares() }
    }

    private var now: Instant { Instant(nanoseconds: loop.now) }

    /// Whether a path is to be replaced: well before its hops forget it.
    func isOld(_ path: Path, _ now: Instant) -> Bool { now - path.since >= useLimit }

    /// Whether a path is ready or carries a session.
    var hasReadyPath: Bool { all.contains { $0.state == .ready } }

    /// Guards whose links are awaited for longer than usual.
    var slowGuards: [NodeID] {
        all.filter { $0.state == .building && $0.link == nil && now - $0.since > Self.slowLink }.map(\.entry)
    }

    // MARK: Packets

    /// Takes one batch of packets of the client's paths: opens their layers in place and hands the payloads to the sessions.
    func receive(_ packets: inout ReceivedPackets, table: inout LinkTable) {
        let now = now
        for index in 0..<packets.count {
            let arrival = packets[index]
            let place = Int(PathID.index(of: arrival.pathID) & ~PathID.clientBit)
            guard place < paths.count, let path = paths[place], path.pathID == arrival.pathID,
                path.link == arrival.link, path.state == .ready
            else {
                drops[Int(DropReason.unknownPath.rawValue)] += 1
                continue
            }
            var packet = packets.packet(index)
            switch path.built?.layers.open(&packet, now: now) {
            case .packet(let number):
                guard table.commit(arrival) else { continue }
                path.bytesIn += UInt64(packetSize)
                let payload = packet.bytes.extracting(droppingFirst: Packet.payloadOffset)
                path.session?.received(payload, number: number, on: path, now: now)
            case .dropped(let reason): drops[Int(reason.rawValue)] += 1
            case nil: break
            }
        }
    }

    /// Makes a packet for the terminal: `fill` gets its number and payload and says whether there is something to send.
    func send(on path: Path, now: Instant, fill: (UInt64, inout MutableRawSpan) -> Bool) -> Bool {
        guard path.built?.send(over: links, now: now, fill: fill) == true else { return false }
        path.bytesOut += UInt64(packetSize)
        return true
    }

    // MARK: Building

    /// Builds a path.
    ///
    /// The result comes later, or inside this call where the build cannot begin: no hops can be chosen, or one has no descriptor.
    ///
    /// Returns the hops; none where it could not begin. Nil where no guard takes a build of this urgency now: then nothing has
    /// happened, `completion` is not called, and it is for the caller to try again later.
    func build(
        to terminal: Terminal, avoiding: [NodeID], for urgency: GuardRoom.Urgency,
        completion: @escaping (Result<Path, PathFailure>) -> Void
    ) -> [NodeID]? {
        let hops: [NodeID]
        do throws(PathRefusal) {
            guard let chosen = try choose(terminal, directed(avoiding), urgency) else { return nil }
            hops = chosen
        } catch {
            completion(.failure(failed(.noChoice(error), nil)))
            return []
        }
        var targets: [HopTarget] = []
        for hop in hops {
            guard let descriptor = directory.descriptor(of: hop, isFirst: targets.isEmpty) else {
                completion(.failure(failed(.noDescriptor(hop), nil)))
                return []
            }
            targets.append(HopTarget(descriptor))
        }
        let path = makePath(hops)
        maker.build(
            targets, at: directory.addresses(of: path.entry), as: path.pathID, limits: (Self.linkLimit, Self.buildLimit),
            isWanted: { path.state == .building }, linked: { path.link = $0 },
            completion: { [weak self] outcome in
                guard let result = self?.finish(path, outcome) else { return }
                completion(result)
                if case .success = result { self?.pathReady() }
            })
        return hops
    }

    /// The guard in use over which no path is built now, since paths over it end too soon.
    var passedOver: NodeID? {
        hops > 1 ? pauses.passedOver(of: directory.guards.primaries.map(\.node), at: now) : nil
    }

    /// What a new path avoids beside `others`: guards that are slow to answer, and the one that is passed over.
    ///
    /// With both guards to be avoided neither would be, and no other hop either: then it may share its guard with the others.
    private func directed(_ others: [NodeID]) -> [NodeID] {
        let slow = slowGuards
        guard slow.isEmpty, let passedOver else { return others + slow }
        let guards = directory.guards.primaries.map(\.node)
        return others.filter { !guards.contains($0) } + [passedOver]
    }

    /// Chooses hops by way of a guard that takes a build now; nil when none of those in use does.
    ///
    /// Other guards do not come into use because these are full.
    private func choose(
        _ terminal: Terminal, _ avoiding: [NodeID], _ urgency: GuardRoom.Urgency
    ) throws(PathRefusal) -> [NodeID]? {
        guard all.count < Self.limit else { return nil }
        let now = now
        if now - turnBuilds.since >= Self.turn.length { turnBuilds = (now, 0) }
        guard urgency == .lost || turnBuilds.count < Self.turn.builds else { return nil }
        let guards = directory.guards.primaries.map(\.node)
        // Before the choice, which costs more. While fewer than all are known, a choice may draw one.
        if hops > 1, guards.count == Guards.primaryCount,
            guards.allSatisfy({ !room.admits($0, for: urgency, now) })
        {
            return nil
        }
        let first = try directory.select(hops: hops, terminal: terminal, avoiding: avoiding)
        if room.admits(first[0], for: urgency, now) { return first }
        // A standby leg waits for the guard that its session does not use yet.
        guard urgency != .standby,
            let other = try? directory.select(hops: hops, terminal: terminal, avoiding: avoiding + [first[0]])
        else { return nil }
        return room.admits(other[0], for: urgency, now) && (hops == 1 || guards.contains(other[0])) ? other : nil
    }

    private func makePath(_ hops: [NodeID]) -> Path {
        precondition(all.count < Self.limit, "there is room for a path that was chosen")
        room.began(hops[0], now)
        turnBuilds.count += 1
        var place = 0
        repeat { place = Int(SecureRandom.u32() % UInt32(Self.places)) } while paths[place] != nil
        let index = UInt32(place)
        let path = Path(hops: hops, index: index, pathID: maker.pathID(at: index), now: now)
        paths[place] = path
        all.append(path)
        return path
    }

    private func finish(_ path: Path, _ outcome: consuming PathOutcome) -> Result<Path, PathFailure> {
        switch consume outcome {
        case .built(let built):
            path.built = consume built
            path.state = .ready
            path.since = now
            builds += 1
            lastFailure = nil
            lastBuilt = now
            if buildTimes.count >= 100 { buildTimes.removeFirst() }
            if let time = path.buildTime { buildTimes.append(time) }
            path.number = directory.succeeded(path.hops)
            room.succeeded(path.entry)
            return .success(path)
        case .noLink:
            directory.guardFailed(path.entry)
            return .failure(failed(.guardUnreachable(path.entry), path))
        case .unbuildable(let error): return .failure(failed(PathFailure(error, hops: path.hops), path))
        case .reset:
            room.refused(path.entry, now)
            directory.reset(path.hops)
            return .failure(failed(.refused(hop: 0, nil), path))
        case .unanswered:
            directory.timedOut(path.hops)
            return .failure(failed(.timedOut, path))
        case .refused(let hop, let status):
            if hop == 0, status == .overloaded { room.refused(path.entry, now) }
            directory.refused(path.hops, hop: hop, status: status)
            return .failure(failed(.refused(hop: hop, status), path))
        case .broken(let hop):
            directory.refused(path.hops, hop: hop, status: nil)
            return .failure(failed(.refused(hop: hop, nil), path))
        }
    }

    private func failed(_ failure: PathFailure, _ path: Path?) -> PathFailure {
        failedBuilds += 1
        lastFailure = failure
        if let path {
            if failure.isRefusal(of: path.exit, hops: hops) { noteLoss(path, isExits: failure.isSaid) }
            forget(path, .byOthers)
        }
        return failure
    }

    /// A hop that ends spare paths does not decide how many are built: the next follows later each time.
    private func lostSpare() {
        let isSoon = now - spareLosses.at < ExitTrust.window
        spareLosses = (isSoon ? spareLosses.count + 1 : 1, now)
        nextSpare = max(nextSpare, now + Self.pause(after: min(spareLosses.count, 64)))
    }

    private func noteLoss(_ path: Path, isExits: Bool) {
        trust.lost(
            path.exit, behind: path.beforeExit, over: isExits ? nil : suspect(of: path), since: path.began, at: now)
    }

    /// The guard that may have ended `path`; nil when it cannot be that.
    ///
    /// Whether guard or exit did it shows over another guard. Where none is in use, it shows by other paths over this one: when two
    /// to other exits have stood for a minute, it is the exit.
    func suspect(of path: Path) -> NodeID? {
        guard hops > 1, !directory.hasOtherGuard(than: path.entry) else { return hops > 1 ? path.entry : nil }
        let standing = all.count {
            $0.state == .ready && $0.entry == path.entry && $0.exit != path.exit && now - $0.since >= ExitTrust.youth
        }
        return standing >= 2 ? nil : path.entry
    }

    // MARK: Spare paths

    /// Gives a ready path to `take`, at once or when there is one: to an exit with `needs`, other than `avoiding` where that
    /// can be had.
    ///
    /// It gives nothing when `isWanted` has become false meanwhile.
    func takeSpare(
        avoiding: NodeID?, needs: Descriptor.ExitSummary, isWanted: @escaping () -> Bool,
        _ take: @escaping (Path?) -> Void
    ) {
        let fitting = spare.indices.filter { directory.fits(spare[$0].exit, needs) }
        let index =
            fitting.first { spare[$0].exit != avoiding } ?? (spare.count > sparesWanted ? fitting.first : nil)
        if let index {
            let path = spare.remove(at: index)
            fillSpares()
            return take(path)
        }
        waiting.append(Waiting(avoiding: avoiding, needs: needs, isWanted: isWanted, take: take))
        fillSpares()
    }

    /// Has so many spare paths from now on.
    func keepSpares(_ count: Int) {
        sparesWanted = count
        while spare.count > count, let path = spare.last { end(path) }
        fillSpares()
    }

    /// Ends the spare paths for which `isUnwanted` holds, and builds others.
    func renewSpares(where isUnwanted: (Path) -> Bool) {
        endSpares(where: isUnwanted)
        // What is being built was chosen before.
        nextSpare = now
        fillSpares()
    }

    /// Ends the spare paths for which `isUnwanted` holds; others are built when the time has come.
    func endSpares(where isUnwanted: (Path) -> Bool) {
        for path in spare where isUnwanted(path) { end(path) }
    }

    /// Starts builds for spare paths that are missing.
    func fillSpares() {
        forgetUnwanted()
        let apart = waiting.filter { !$0.needs.isEmpty }
        while now >= nextSpare, apartBuilding < min(apart.count, Self.buildsAtOnce) {
            let needs = apart[apartBuilding].needs
            apartBuilding += 1
            guard buildSpare(to: directory.exit(for: needs), for: .identity, { $0.apartBuilding -= 1 }) else { break }
        }
        let plain = waiting.count - apart.count
        while now >= nextSpare, spare.count + sparesBuilding < min(sparesWanted + plain, Self.buildsAtOnce) {
            let urgency = sparesBuilding < plain ? GuardRoom.Urgency.identity : .spare
            sparesBuilding += 1
            guard buildSpare(to: directory.exit, for: urgency, { $0.sparesBuilding -= 1 }) else { break }
        }
        if waiting.count > apartBuilding + sparesBuilding {
            fillTimer?.schedule(at: (now + Self.turn.length * 2).nanoseconds)
        }
    }

    /// Identities for which no app waits any more leave the line.
    private func forgetUnwanted() {
        guard waiting.contains(where: { !$0.isWanted() }) else { return }
        let unwanted = waiting.filter { !$0.isWanted() }
        waiting.removeAll { !$0.isWanted() }
        for entry in unwanted { entry.take(nil) }
    }

    /// Whether identities wait for a path, or the guards have few places left: then others do with less.
    var isTight: Bool {
        !waiting.isEmpty || all.count > Self.limit / 4 * 3
            || directory.guards.primaries.contains { room.paths(of: $0.node) > room.most(.spare) }
    }

    /// Whether paths are built for identities that wait.
    var isAdvancing: Bool { !waiting.isEmpty && now - lastBuilt < Self.buildLimit }

    /// Ends a path that is less needed than that of an identity that waits, where all guards in use are full; false when none
    /// was ended.
    private func makeRoom() -> Bool {
        let guards = directory.guards.primaries
        let isFull =
            all.count >= Self.limit
            || !guards.isEmpty && guards.allSatisfy { !room.hasPlace($0.node, for: .identity) }
        guard isFull else { return false }
        guard let path = spare.last else { return giveWay() }
        end(path)
        return true
    }

    /// Whether a build has begun, or need not; `isOver` is called when it has ended or none has begun.
    private func buildSpare(
        to terminal: Terminal, for urgency: GuardRoom.Urgency, _ isOver: @escaping (PathPool) -> Void
    ) -> Bool {
        if beginSpare(to: terminal, for: urgency, isOver) { return true }
        if urgency == .identity, makeRoom(), beginSpare(to: terminal, for: urgency, isOver) { return true }
        isOver(self)
        return false
    }

    private func beginSpare(
        to terminal: Terminal, for urgency: GuardRoom.Urgency, _ isOver: @escaping (PathPool) -> Void
    ) -> Bool {
        let avoiding =
            spare.map(\.exit) + waiting.compactMap(\.avoiding) + exitsToAvoid() + trust.distrusted(at: now)
        let hops = build(to: terminal, avoiding: avoiding, for: urgency) { [weak self] result in
            guard let self else { return }
            isOver(self)
            switch result {
            case .success(let path):
                spareFailures = 0
                addSpare(path)
            case .failure:
                spareFailures += 1
                nextSpare = now + Self.pause(after: spareFailures)
            }
        }
        return hops != nil
    }

    /// How long to wait after so many failed builds in a row: from 100 ms to 3 s.
    static func pause(after failures: Int) -> TimeSpan { .milliseconds(min(3_000, 50 << Int64(min(failures, 6)))) }

    private func addSpare(_ path: Path) {
        let fitting = waiting.indices.filter { directory.fits(path.exit, waiting[$0].needs) }
        let willing = fitting.filter { waiting[$0].avoiding != path.exit }
        // Who needs something of the exit comes first. With enough spares to an exit that all who wait would avoid, there is
        // none to be had but that.
        let index =
            willing.first { !waiting[$0].needs.isEmpty } ?? willing.first
            ?? (spare.count >= sparesWanted ? fitting.first : nil)
        if let index { waiting.remove(at: index).take(path) } else { spare.append(path) }
    }

    // MARK: Ending

    /// Ends a path and tells its guard; `end` says at whose wish.
    func end(_ path: Path, _ end: Path.End = .ours) {
        forget(path, end, tellsGuard: true)
    }

    private func forget(_ path: Path, _ end: Path.End, tellsGuard tells: Bool = false) {
        guard path.state != .dead else { return }
        let isYoung = path.state == .ready && now - path.since < ExitTrust.youth
        if path.state == .ready { tellGuard(path, end, isYoung: isYoung) }
        path.state = .dead
        if let built = path.built.take() { built.end(on: links, tellsGuard: tells) }
        paths[Int(path.index)] = nil
        room.ended(path.entry)
        all.removeAll { $0 === path }
        if end.isLoss, isYoung, spare.contains(where: { $0 === path }) { lostSpare() }
        spare.removeAll { $0 === path }
        if end.isLoss, isYoung { noteLoss(path, isExits: end == .byExit) }
        path.session?.pathDied(path, end, isYoung: isYoung)
    }

    /// Counts the end of a ready path for or against its guard.
    private func tellGuard(_ path: Path, _ end: Path.End, isYoung: Bool) {
        guard hops > 1 else { return }
        switch end {
        case .ours, .linkLost: break
        case .byExit: directory.pathEnded(path.number, through: path.entry, .unknown)
        case .byOthers:
            guard isYoung || !isOld(path, now) else { return }
            directory.pathEnded(path.number, through: path.entry, isYoung ? .young : .early)
            pauses.lost(over: path.entry, at: now)
        }
    }

    /// The guard says that a path is over.
    func destroy(_ pathID: UInt64, from link: LinkID) {
        let place = Int(PathID.index(of: pathID) & ~PathID.clientBit)
        guard place < paths.count, let path = paths[place], path.pathID == pathID, path.link == link,
            path.state == .ready
        else { return }
        forget(path, .byOthers)
    }

    /// A link is gone, and its paths with it.
    func linkEnded(_ link: LinkID) {
        let ended = all.filter { $0.link == link && $0.state == .ready }
        // Before the sessions build anew: waiting for this guard would cost them seconds.
        if let path = ended.first { directory.guardLost(path.entry) }
        // The young paths of a link end together, and count as one.
        for (place, path) in ended.filter({ now - $0.since < ExitTrust.youth }).enumerated() where hops > 1 {
            directory.pathEnded(path.number, through: path.entry, place == 0 ? .young : .unknown)
        }
        for path in ended { forget(path, .linkLost) }
    }

    /// Replaces spare paths that are old; to be called every second.
    func sweep() {
        for path in spare where isOld(path, now) { end(path) }
        for path in all { path.built?.layers.forgetPreviousKeys(now) }
        fillSpares()
    }

    /// Ends all paths.
    func close() {
        waiting = []
        fillTimer?.close()
        sparesWanted = 0
        for path in all { end(path) }
    }
}
