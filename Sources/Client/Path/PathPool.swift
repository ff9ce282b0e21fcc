internal import Directory
internal import EventLoop
internal import Links
internal import Onion
internal import OnionCrypto
internal import Paths
internal import Sessions
internal import Transport
internal import Wire

/// All paths of the client: building them, their packets, and their ends.
final class PathPool: PacketHandler {
    /// How long a guard's link may take to come up.
    static let linkLimit = TimeSpan.seconds(3)
    /// How long a build may take after that.
    static let buildLimit = TimeSpan.seconds(10)
    /// How many paths there may be at once.
    static let limit = 1_024
    /// How many builds may begin in each interval: one occupies the loop for a millisecond.
    static let buildPace = (interval: TimeSpan.milliseconds(10), builds: 8)
    /// How many places there are: many more than paths, so that the place in a path id does not reveal their number.
    static let places = 4_096

    private let maker: PathMaker
    let directory: DirectoryClient
    private let ticker: Ticker
    /// How many hops a path has.
    let hops: Int
    /// The limits that nodes set for a client.
    let limits: NetworkLimits
    private let packetSize: Int
    private let useLimit: TimeSpan
    /// The paths by place.
    private var paths = [Path?](repeating: nil, count: PathPool.places)
    /// All paths that are building or ready.
    private(set) var all: [Path] = []
    /// When the present interval began, and how many builds have begun in it.
    private var recentBuilds = (since: Instant(nanoseconds: 0), count: 0)
    /// The room that the guards have left.
    let room: GuardRoom
    private(set) var drops = [UInt64](repeating: 0, count: DropReason.allCases.count)
    /// Statistics of the builds.
    private(set) var counts = BuildCounts()
    /// Which exits end paths too soon, and over which guards paths end too soon.
    var trust = ExitTrust()
    private(set) var pauses = GuardPauses()

    /// Paths of `hopCount` hops over `links`, each used for `useLimit` at most; `ticker` runs when the first becomes
    /// ready.
    init(
        links: Links, directory: DirectoryClient, room: GuardRoom, network: NetworkFile, hopCount: Int,
        useLimit: TimeSpan, ticker: Ticker
    ) {
        maker = PathMaker(links: links, network: network.id, clock: { [directory] in directory.time })
        self.directory = directory
        self.ticker = ticker
        hops = hopCount
        limits = network.limits
        packetSize = network.packetSize
        self.useLimit = useLimit
        self.room = room
    }

    var links: Links { maker.links }
    /// The length of a packet's payload in bytes.
    var payloadSize: Int { packetSize - Packet.payloadOffset }
    var now: Instant { links.now }

    /// Whether a path must be replaced; this is long before its hops forget it.
    func isOld(_ path: Path, _ now: Instant) -> Bool { now - path.since >= path.life }

    /// Whether a path is ready, in use or not.
    var hasReadyPath: Bool { all.contains { $0.state == .ready } }

    // MARK: Packets

    /// Handles a batch of packets: removes the layers in place, and passes the payloads to the paths' users.
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

    /// Sends the packets that `session` wants to send on `leg` over `path`, until the link takes no more.
    func transmit(_ session: Session, on leg: LegID, over path: Path, now: Instant) {
        let count = path.built?.transmit(session, on: leg, over: links, now: now) ?? 0
        path.bytesOut += UInt64(count * packetSize)
    }

    // MARK: Building

    /// Builds a path, and returns its hops; `completion` gets the result later, never inside this call.
    ///
    /// Nil if no guard accepts a build of this urgency now: nothing was begun, and the caller must try again later.
    /// Throws if no hops can be chosen, or one has no descriptor. If `only` names guards, the path goes over one of
    /// them. Guards of `slow` leave builds unanswered.
    func build(
        to terminal: TerminalRequirement, avoiding: [NodeID], slow: [NodeID] = [], only: [NodeID]? = nil,
        for urgency: GuardRoom.Urgency,
        completion: @escaping (Result<Path, PathFailure>) -> Void
    ) throws(PathFailure) -> [NodeID]? {
        let hops: [NodeID]
        do throws(PathRefusal) {
            guard let chosen = try choose(terminal, directed(avoiding, slow), only, urgency) else { return nil }
            hops = chosen
        } catch {
            throw failed(.noChoice(error), nil)
        }
        var targets: [HopTarget] = []
        for hop in hops {
            guard let descriptor = directory.descriptor(of: hop, isFirst: targets.isEmpty) else {
                throw failed(.noDescriptor(hop), nil)
            }
            targets.append(HopTarget(descriptor))
        }
        let (path, choice) = (makePath(hops), directory.choosing.changes)
        maker.build(
            targets, at: directory.addresses(of: path.entry), as: path.pathID,
            limits: (Self.linkLimit, Self.buildLimit),
            isWanted: { path.state == .building }, linked: { path.link = $0 },
            completion: { [weak self] in
                guard let self else { return }
                let result = finish(path, $0)
                // The user may have excluded a hop since it was chosen.
                if case .success = result, directory.choosing.changes != choice, !directory.mayUse(hops, to: terminal) {
                    end(path)
                    return completion(.failure(.choiceChanged))
                }
                completion(result)
            })
        return hops
    }

    /// Chooses hops over a guard that accepts a build now; nil if none of the guards in use does.
    ///
    /// No other guard comes into use because these are full.
    private func choose(
        _ terminal: TerminalRequirement, _ avoiding: [NodeID], _ only: [NodeID]?, _ urgency: GuardRoom.Urgency
    ) throws(PathRefusal) -> [NodeID]? {
        guard all.count < Self.limit else { return nil }
        let now = now
        if now - recentBuilds.since >= Self.buildPace.interval { recentBuilds = (now, 0) }
        guard urgency == .lost || recentBuilds.count < Self.buildPace.builds else { return nil }
        let guards = only ?? directory.guards.primaries.map(\.node)
        // Checked first, because choosing costs more. With fewer known guards than usual, choosing may draw one.
        if hops > 1, only != nil || guards.count == Guards.primaryCount,
            guards.allSatisfy({ !room.admits($0, for: urgency, now) })
        {
            return nil
        }
        let first = try directory.select(hops: hops, terminal: terminal, avoiding: avoiding, only: only)
        if room.admits(first[0], for: urgency, now) { return first }
        // A standby leg waits for the guard that its session does not use yet.
        guard urgency != .standby,
            let other = try? directory.select(
                hops: hops, terminal: terminal, avoiding: avoiding + [first[0]],
                only: only?.filter { $0 != first[0] })
        else { return nil }
        return room.admits(other[0], for: urgency, now) && (hops == 1 || guards.contains(other[0])) ? other : nil
    }

    /// Draws how long a path is used: three quarters of the limit at least.
    ///
    /// Paths of several sessions are often built at the same time, as when a guard's link has ended. If all lasted
    /// equally long, their exits could see by the times of their ends that the sessions are one client's.
    private func drawLife() -> TimeSpan {
        let span = UInt64(max(0, useLimit.nanoseconds / 4)) + 1
        return useLimit - TimeSpan(nanoseconds: Int64(SecureRandom.u64() % span))
    }

    private func makePath(_ hops: [NodeID]) -> Path {
        precondition(all.count < Self.limit, "there is room for a path that was chosen")
        room.began(hops[0], now)
        recentBuilds.count += 1
        var place = 0
        repeat { place = Int(SecureRandom.u32() % UInt32(Self.places)) } while paths[place] != nil
        let index = UInt32(place)
        let path = Path(hops: hops, index: index, pathID: maker.pathID(at: index), life: drawLife(), now: now)
        paths[place] = path
        all.append(path)
        return path
    }

    private func finish(_ path: Path, _ outcome: consuming PathOutcome) -> Result<Path, PathFailure> {
        switch consume outcome {
        case .built(let built):
            if !hasReadyPath { ticker.soon() }
            counts.succeeded(in: built.buildTime, at: now)
            path.built = consume built
            path.state = .ready
            path.since = now
            path.number = directory.succeeded(path.hops)
            room.succeeded(path.entry)
            return .success(path)
        case .noLink:
            directory.guardFailed(path.entry)
            return .failure(failed(.guardUnreachable(path.entry), path))
        case .unbuildable(let error): return .failure(failed(PathFailure(error, hops: path.hops), path))
        case .reset:
            room.reset(path.entry, since: path.began, now)
            directory.reset(path.hops)
            return .failure(failed(.refused(hop: 0, nil), path))
        case .linkFull:
            room.refused(path.entry, now)
            return .failure(failed(.linkFull, path))
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
        counts.failed(failure)
        if let path {
            if failure.isRefusal(of: path.exit, hops: hops) { noteLoss(path, isExits: failure.isSaid) }
            forget(path, .byOthers)
        }
        return failure
    }

    private func noteLoss(_ path: Path, isExits: Bool) {
        trust.lost(
            path.exit, behind: path.beforeExit, over: isExits ? nil : suspect(of: path), since: path.began, at: now)
    }

    /// The guard that may have ended `path`; nil if it cannot have.
    ///
    /// Paths over another guard show whether the guard or the exit did it. Without another guard in use, other paths
    /// over this guard show it: if two of them to other exits have lasted for a minute, the exit did it.
    func suspect(of path: Path) -> NodeID? {
        guard hops > 1, !directory.hasOtherGuard(than: path.entry) else { return hops > 1 ? path.entry : nil }
        let standing = all.count {
            $0.state == .ready && $0.entry == path.entry && $0.exit != path.exit && now - $0.since >= ExitTrust.youth
        }
        return standing >= 2 ? nil : path.entry
    }

    // MARK: Room

    /// Whether a path must end before a waiting identity gets one: the pool is full, or each guard in use is.
    var isFull: Bool {
        let guards = directory.guards.primaries
        return all.count >= Self.limit
            || !guards.isEmpty && guards.allSatisfy { !room.hasPlace($0.node, for: .identity) }
    }

    /// Whether few places are left, in the pool or at a guard in use.
    var isTight: Bool {
        all.count > Self.limit / 4 * 3
            || directory.guards.primaries.contains { room.paths(of: $0.node) > room.most(.spare) }
    }

    /// The pause after `failures` failed builds in a row: from 100 ms to 3 s.
    static func pause(after failures: Int) -> TimeSpan { .milliseconds(min(3_000, 50 << Int64(min(failures, 6)))) }

    // MARK: Ending

    /// Ends a path and tells its guard; `end` says who ended it.
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
        path.spares?.pathDied(path, end, isYoung: isYoung)
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

    /// Handles a guard's DESTROY of a path.
    func destroy(_ pathID: UInt64, from link: LinkID) {
        let place = Int(PathID.index(of: pathID) & ~PathID.clientBit)
        guard place < paths.count, let path = paths[place], path.pathID == pathID, path.link == link,
            path.state == .ready
        else { return }
        forget(path, .byOthers)
    }

    /// Ends the paths of a link that is gone.
    func linkEnded(_ link: LinkID) {
        let ended = all.filter { $0.link == link && $0.state == .ready }
        // Done before the sessions build again: a wait for this guard would cost them seconds.
        if let path = ended.first { directory.guardLost(path.entry) }
        // Young paths of one link end together and count once.
        for (place, path) in ended.filter({ now - $0.since < ExitTrust.youth }).enumerated() where hops > 1 {
            directory.pathEnded(path.number, through: path.entry, place == 0 ? .young : .unknown)
        }
        for path in ended { forget(path, .linkLost) }
    }

    /// Wipes expired keys; to be called several times a second.
    func sweep() {
        let now = now
        for path in all { path.built?.layers.forgetPreviousKeys(now) }
    }

    /// Ends all paths.
    func close() { for path in all { end(path) } }
}

// MARK: Control messages

/// Control messages and lost links at a client, which serves no other node.
extension PathPool: ControlHandler {
    /// The control messages that a client accepts.
    static let messages = [PathMessage.destroy.kind]

    func received(_ message: MessageKind, body: [UInt8], from link: LinkID, responder: ControlResponder) {
        switch PathMessage(rawValue: message.raw) {
        case .destroy:
            if let message = DestroyMessage(body) { destroy(message.pathID, from: link) }
            links.answer(responder, [])
        case .build, nil: links.refuse(responder)
        }
    }

    func linkUp(_ link: LinkID, peer: LinkPeer) {}
    func linkDown(_ link: LinkID, reason: LinkDownReason) { linkEnded(link) }
}
