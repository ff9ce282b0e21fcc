internal import Directory
internal import EventLoop
internal import Link
internal import Links
internal import Onion
internal import OnionCrypto
internal import Wire

/// Answers builds: opens this node's record, then adds the path or sends the rest to the next hop.
final class BuildService {
    /// The number of builds that are opened in one turn of the loop, about two milliseconds of work.
    static let buildsInTurn = 8
    /// The most builds of nodes that wait for their turn, and as many of strangers: those that come at once if all sources
    /// use their bursts.
    static let waitingLimit = 1_024

    private let links: Links
    private let paths: PathService
    private let nodes: KnownNodes
    private var responder: BuildResponder
    private var rates: BuildRates
    /// The builds that were sent on and have no answer yet.
    private var onward: OnwardShares
    /// Builds that the rates have admitted and whose turn has not come.
    private var waiting = BuildService.queue(WaitingBuild.self)
    private var timer: LoopTimer?
    /// The number of paths that were built here, whether they end here or continue.
    private(set) var builds: UInt64 = 0
    /// The number of refused builds, by reason.
    private(set) var refusals: [String: UInt64] = [:]
    /// Whether new paths are accepted.
    ///
    /// If not, builds are refused with the status of a node that drains.
    var takesPaths = true

    /// Builds for `node`, whose onion keys are `keys`.
    ///
    /// The paths become paths of `paths`.
    init(links: Links, paths: PathService, nodes: KnownNodes, network: NetworkFile, node: NodeID, keys: OnionKeys) {
        self.links = links
        self.paths = paths
        self.nodes = nodes
        // Room for the builds that the rate admits during one generation.
        let seconds = Int(BuildReplayCache.generation.nanoseconds / 1_000_000_000)
        let records = max(BuildReplayCache.defaultLimit, network.limits.buildsPerSecond * (seconds + 1))
        responder = BuildResponder(
            network: network.id, node: node.key, keys: keys, cache: BuildReplayCache(limit: records, now: links.now))
        rates = BuildRates(network.limits, links.configuration, now: links.now)
        onward = OnwardShares(capacity: links.configuration.buildsPerNodeLink)
        timer = LoopTimer(on: links.loop) { [weak self] in self?.openWaiting() }
    }

    private var now: Instant { links.now }

    /// A queue for builds, which the rates have bounded: a source may have all places that others leave.
    static func queue<Build>(_: Build.Type) -> SharedQueue<Build> {
        SharedQueue(capacity: waitingLimit, most: waitingLimit)
    }

    var keys: OnionKeys { responder.keys }
    /// The public half of the onion key, for the descriptor.
    var onionKey: [UInt8] { keys.publicKey }

    /// Replaces the onion key if it is due.
    ///
    /// Returns true if a new descriptor must be made.
    func advanceKeys() throws(CryptoError) -> Bool { try responder.keys.advance(now) }

    // MARK: Requests

    /// Answers a BUILD that came from `link`.
    func build(_ body: [UInt8], from link: LinkID, isNode: Bool, _ answer: ControlResponder) {
        guard let source = links.source(of: link), rates.admit(link, of: source, isNode: isNode, now: now) else {
            return reset(answer, "rate")
        }
        guard let message = PathRecords(body, recordsSize: BuildMessage.recordsSize) else {
            return reset(answer, "malformed")
        }
        let build = WaitingBuild(
            message: message, link: link, source: source, isNode: isNode, since: now, answer: answer)
        if let dropped = waiting.add(build, from: Asker(source)) { reset(dropped.answer, "rate") }
        if timer?.deadline == nil { timer?.schedule(at: links.loop.now) }
    }

    /// Opens some builds whose turn has come.
    ///
    /// The others wait until packets have passed.
    private func openWaiting() {
        for _ in 0..<Self.buildsInTurn {
            guard let (_, build) = waiting.take() else { return }
            open(build)
        }
        if waiting.count > 0 { timer?.schedule(at: links.loop.now + 1) }
    }

    private func open(_ build: WaitingBuild) {
        let (message, link, isNode, answer) = (build.message, build.link, build.isNode, build.answer)
        let source = build.source
        // If the link has ended, or closes, no peer waits for the answer.
        guard links.isOpen(link) else { return }
        switch responder.open(message.records.rawSpan, from: source.number, time: links.time, now: now) {
        case .unreadable(let fault): reset(answer, fault.name)
        case .refuse(let status, let reply): refuse(status, reply, answer)
        case .terminal(let keys, let reply, let secrets):
            guard takesPaths else { return refuse(.draining, reply, answer) }
            guard let path = paths.insert(keys, from: link, pathID: message.pathID, next: nil, isNode: isNode) else {
                return refuse(.overloaded, reply, answer)
            }
            paths.begin(path, from: link, of: source, secrets: secrets)
            let waitingReply = Parcel(reply)
            paths.whenItStands(path) { [weak self] outcome in
                guard let self else { return }
                let reply = waitingReply.take()
                guard outcome == .stands, let pathID = paths.forwardID(of: path) else {
                    return refuse(takesPaths ? .overloaded : .draining, reply, answer)
                }
                builds += 1
                links.answer(answer, PathRecords.encode(pathID: pathID, reply.answer(.ready)))
            }
        case .onward(let node, let records, let keys, let reply):
            guard takesPaths else { return refuse(.draining, reply, answer) }
            guard let addresses = nodes.addresses(of: NodeID(node)) else {
                return refuse(.unknownNextHop, reply, answer)
            }
            let build = PendingBuild(
                keys: keys, reply: reply, records: records, previous: link, previousID: message.pathID, isNode: isNode,
                since: build.since, answer: answer)
            links.link(to: NodeID(node), at: addresses, for: source, within: PathService.linkLimit) {
                [weak self] next in
                self?.extend(build, over: next)
            }
        }
    }

    /// Sends the rest of a build to the next hop, and the hop's answer back.
    private func extend(_ build: PendingBuild, over result: Result<LinkID, LinkFailure>) {
        let next: LinkID
        switch result {
        case .success(let link): next = link
        // The next hop is not at fault where this node may begin no handshake, or stops.
        case .failure(.limit): return refuse(build, .overloaded)
        case .failure(.closing): return refuse(build, .draining)
        case .failure(.noAnswer), .failure(.badIdentity), .failure(.noAddress):
            return refuse(build, .nextHopUnreachable)
        }
        guard links.isOpen(build.previous), let source = links.source(of: build.previous) else { return }
        guard rates.admitOnward(over: next, of: source, now: now) else { return refuse(build, .overloaded) }
        guard onward.take(over: next, for: source) else { return refuse(build, .overloaded) }
        guard let keys = build.takeKeys(),
            let path = paths.insert(
                keys, from: build.previous, pathID: build.previousID, next: next, isNode: build.isNode)
        else {
            onward.release(over: next, of: source)
            return refuse(build, .overloaded)
        }
        paths.whenItStands(path) { [weak self] outcome in
            guard let self else { return }
            guard outcome == .stands else {
                onward.release(over: next, of: source)
                return refuse(build, after: outcome, over: next, .nextHopUnreachable)
            }
            paths.whenItEnds(path) { [weak self] outcome in
                // If the next hop has ended it, its answer says why, or does not come.
                if outcome != .ended(by: next) { self?.refuse(build, after: outcome, over: next, .nextHopFailed) }
            }
            let message = PathRecords.encode(pathID: paths.backwardID(of: path) ?? 0, build.records)
            links.request(on: next, PathMessage.build, body: message, timeout: answerTime(of: build)) {
                [weak self] result in
                self?.onward.release(over: next, of: source)
                self?.extended(build, path, over: next, result)
            }
        }
    }

    /// How long the next hop may take to answer.
    private func answerTime(of build: PendingBuild) -> TimeSpan {
        build.isNode ? max(PathService.innerLimit - (now - build.since), .seconds(1)) : PathService.answerLimit
    }

    /// Handles the answer of the next hop, or its absence.
    private func extended(
        _ build: PendingBuild, _ path: PathHandle, over next: LinkID, _ result: Result<[UInt8], ControlFailure>
    ) {
        let built = (try? result.get()).flatMap { PathRecords($0, recordsSize: BuildMessage.replyRecordsSize) }
        let stands = paths.stillStands(path)
        guard let built, built.pathID != 0 else {
            if stands { paths.discard(path) }
            if let built { return pass(built, of: build, pathID: 0) }
            // The next hop is not at fault where this link has all the messages under way that it may have.
            return refuse(build, result == .failure(.limit) ? .overloaded : .nextHopFailed)
        }
        guard stands else {
            // The path has ended here while the next hop built it; the next hop must be told.
            links.destroy(built.pathID, on: next)
            return refuse(build, .nextHopFailed)
        }
        paths.connect(path, nextPathID: built.pathID)
        paths.whenItIsConnected(path) { [weak self] outcome in
            guard let self else { return }
            guard outcome == .stands, let pathID = paths.forwardID(of: path) else {
                return refuse(build, after: outcome, over: next, .nextHopFailed)
            }
            builds += 1
            pass(built, of: build, pathID: pathID)
        }
    }

    /// Sends the next hop's records back, unless the build was answered before.
    private func pass(_ built: PathRecords, of build: PendingBuild, pathID: UInt64) {
        guard let reply = build.takeReply() else { return }
        guard let records = reply.wrap(built.records.rawSpan) else { preconditionFailure("records of the right size") }
        links.answer(build.answer, PathRecords.encode(pathID: pathID, records))
    }

    // MARK: Refusals

    private func refuse(_ status: BuildStatus, _ reply: consuming HopReply, _ answer: ControlResponder) {
        refusals[status.name, default: 0] += 1
        links.answer(answer, PathRecords.encode(pathID: 0, reply.answer(status)))
    }

    private func refuse(_ build: PendingBuild, _ status: BuildStatus) {
        guard let reply = build.takeReply() else { return }
        refuse(status, reply, build.answer)
    }

    /// Refuses a build whose path has ended, unless it was answered before: with `status` only if the next hop ended it.
    private func refuse(
        _ build: PendingBuild, after outcome: PathService.Outcome, over next: LinkID, _ status: BuildStatus
    ) {
        if outcome == .ended(by: next) { return refuse(build, status) }
        refuse(build, takesPaths ? .overloaded : .draining)
    }

    private func reset(_ answer: ControlResponder, _ reason: String) {
        refusals[reason, default: 0] += 1
        links.refuse(answer)
    }

    /// Forgets the rates and places of a link that is gone.
    func linkEnded(_ link: LinkID) {
        rates.linkEnded(link)
        onward.linkEnded(link)
    }
}
