internal import Directory
internal import EventLoop
internal import Link
internal import Links
internal import Onion
internal import OnionCrypto
internal import Wire

/// The paths that this node carries: building them, forwarding their packets, ending them.
final class PathService: PacketHandler {
    /// How long a link to the next hop may take to come up.
    static let linkLimit = TimeSpan.seconds(3)
    /// How many builds are opened in one turn of the loop: about two milliseconds' work.
    static let buildsInTurn = 8
    /// How many builds may wait for their turn: what comes at once where all sources have saved up their rates.
    static let waitingLimit = 1_024
    /// How long the next hop may take to answer a build.
    static let answerLimit = TimeSpan.seconds(8)

    private let links: Links
    private let loop: Loop
    private let limits: NetworkLimits
    private var forwarding: ForwardingTable
    private var responder: BuildResponder
    /// What all links may ask for together, with a part for each source.
    private var allBuilds: SharedRate<LinkSource>
    private var linkBuilds: [LinkID: TokenBucket] = [:]
    /// What a link to the next hop takes, with a part for each source that asks for it.
    private var onwardBuilds: [LinkID: SharedRate<LinkSource>] = [:]
    /// Builds that the rates have let in, until their turn.
    private var waiting = BuildQueue<LinkSource, WaitingBuild>(capacity: PathService.waitingLimit)
    private var waitingTimer: LoopTimer?
    /// Builds of all clients' links of one address.
    private var addressBuilds: SourceRates
    /// Drops by reason.
    private(set) var drops = [UInt64](repeating: 0, count: DropReason.allCases.count)
    private(set) var builds: UInt64 = 0
    private(set) var refusals: [String: UInt64] = [:]
    /// Whether no new path is taken.
    var isDraining = false
    /// What has passed over each path, at the last look while it drains.
    private var marks: [PathHandle: UInt64] = [:]
    /// Where a node can be reached; nil when it is unknown.
    var findNode: (NodeID) -> [Endpoint]? = { _ in nil }
    /// The wall clock.
    var clock: () -> UnixTime = { UnixTime(seconds: 0) }
    /// Where paths end.
    weak var exit: Exit?

    init(links: Links, loop: Loop, network: NetworkFile, node: NodeID, keys: OnionKeys) {
        self.links = links
        self.loop = loop
        limits = network.limits
        let now = Instant(nanoseconds: loop.now)
        forwarding = ForwardingTable(
            maximumPaths: network.limits.paths, answerTime: .seconds(Int64(network.limits.halfOpenSeconds)))
        // Room for what the rate lets in while a generation lasts.
        let seconds = Int(BuildReplayCache.generation.nanoseconds / 1_000_000_000)
        let records = max(BuildReplayCache.defaultLimit, network.limits.buildsPerSecond * (seconds + 1))
        responder = BuildResponder(
            network: network.id, node: node.key, keys: keys, cache: BuildReplayCache(limit: records, now: now))
        let factor = links.configuration.addressRateFactor
        addressBuilds = SourceRates(
            rate: network.limits.clientBuildsPerSecond * factor, burst: network.limits.clientBuildBurst * factor,
            capacity: links.configuration.maximumLinks)
        allBuilds = SharedRate(
            perSecond: network.limits.buildsPerSecond, burst: network.limits.buildsPerSecond, now: now)
        waitingTimer = LoopTimer(on: loop) { [weak self] in self?.openWaiting() }
    }

    /// How many paths there are.
    var pathCount: Int { forwarding.count }

    private var now: Instant { Instant(nanoseconds: loop.now) }

    /// The public half of the onion key, for the descriptor.
    var onionKey: [UInt8] { responder.keys.publicKey }

    /// Replaces the onion key when its time has come; true if the descriptor must be made anew.
    func advanceKeys() -> Bool { (try? responder.keys.advance(now)) ?? false }

    // MARK: Packets

    /// Takes one batch of packets of relayed paths.
    ///
    /// Each loses or gains this node's layer in place and leaves from where it lies.
    func receive(_ packets: inout ReceivedPackets, table: inout LinkTable) {
        let now = now
        var next = 0
        while let delivery = Self.pass(&packets, &table, &forwarding, &drops, from: &next, now: now) {
            let packet = packets.packet(delivery.index)
            let payload = packet.bytes.extracting(droppingFirst: Packet.payloadOffset)
            _ = exit?.received(payload, number: delivery.number, on: delivery.path, now: now)
        }
    }

    /// Packets of a batch that follow each other, and go on by the same link.
    private struct Onward {
        var link: UInt32 = 0
        var numbers = 0..<0

        /// Adds packet `number`; when it does not belong to the others, these are sent on first.
        @inline(__always)
        mutating func add(_ number: Int, on link: UInt32, _ packets: inout ReceivedPackets, _ table: inout LinkTable) {
            if number == numbers.upperBound, link == self.link {
                numbers = numbers.lowerBound..<number + 1
            } else {
                send(&packets, &table)
                self.link = link
                numbers = number..<number + 1
            }
        }

        /// Sends them on.
        func send(_ packets: inout ReceivedPackets, _ table: inout LinkTable) {
            if !numbers.isEmpty { table.forward(&packets, numbers, on: LinkID(rawValue: link)) }
        }
    }

    /// A packet whose path ends here, with its payload open.
    private struct Delivery {
        let index: Int
        let path: PathHandle
        let number: UInt64
    }

    /// Sends packets on, from `next` to the first whose path ends here; nil behind the last.
    ///
    /// It has the tables to itself meanwhile: an access for each packet would cost more than what else is done with it.
    private static func pass(
        _ packets: inout ReceivedPackets, _ table: inout LinkTable, _ forwarding: inout ForwardingTable,
        _ drops: inout [UInt64], from next: inout Int, now: Instant
    ) -> Delivery? {
        var onward = Onward()
        defer { onward.send(&packets, &table) }
        while next < packets.count {
            let index = next
            next += 1
            let arrival = packets[index]
            switch forwarding.find(link: arrival.link.rawValue, pathID: arrival.pathID) {
            case .unknown: drops[Int(DropReason.unknownPath.rawValue)] += 1
            case .forward(let place):
                var packet = packets.packet(index)
                switch forwarding.forward(place, &packet, now: now) {
                case .send(let link, _): if table.commit(arrival) { onward.add(index, on: link, &packets, &table) }
                case .deliver(let path, let number):
                    guard table.commit(arrival) else { continue }
                    return Delivery(index: index, path: path, number: number)
                case .drop(let reason): drops[Int(reason.rawValue)] += 1
                }
            case .backward(let place):
                guard table.commit(arrival) else { continue }
                var packet = packets.packet(index)
                switch forwarding.backward(place, &packet, now: now) {
                case .send(let link, _): onward.add(index, on: link, &packets, &table)
                case .drop(let reason): drops[Int(reason.rawValue)] += 1
                case .deliver: break
                }
            }
        }
        return nil
    }

    /// Makes a packet at a terminal: `fill` gets its number and payload and says whether there is something to send.
    func sendFromTerminal(
        _ path: PathHandle, link: UInt32, now: Instant, fill: (UInt64, inout MutableRawSpan) -> Bool
    ) -> Bool {
        guard let number = forwarding.nextNumberAtTerminal(path) else { return false }
        return links.withTable { table in
            table.send(on: LinkID(rawValue: link)) { packet in
                do {
                    var payload = packet._mutatingExtracting(droppingFirst: Packet.payloadOffset)
                    guard fill(number, &payload) else { return false }
                }
                return forwarding.sealAtTerminal(path, &packet, now: now).number == number
            }
        }
    }

    /// Leaves out a packet number at a terminal.
    func skipNumber(_ path: PathHandle) { forwarding.skipNumberAtTerminal(path) }

    // MARK: Building

    /// Answers a BUILD that came from `link`.
    func build(_ body: [UInt8], from link: LinkID, isNode: Bool, _ answer: ControlResponder) {
        let now = now
        let linkRate =
            isNode
            ? TokenBucket(perSecond: limits.nodeBuildsPerSecond, burst: limits.nodeBuildBurst, now: now)
            : TokenBucket(perSecond: limits.clientBuildsPerSecond, burst: limits.clientBuildBurst, now: now)
        guard let source = links.source(of: link), linkBuilds[link, default: linkRate].take(now: now),
            isNode || addressBuilds.take(source, now: now), allBuilds.take(source, now)
        else {
            return reset(answer, "rate")
        }
        guard let message = BuildBody(body, recordsSize: BuildMessage.recordsSize) else {
            return reset(answer, "malformed")
        }
        let build = WaitingBuild(message: message, link: link, isNode: isNode, answer: answer)
        if let dropped = waiting.add(build, of: source) { reset(dropped.answer, "rate") }
        if waitingTimer?.deadline == nil { waitingTimer?.schedule(at: loop.now) }
    }

    /// Opens builds whose turn has come, and lets packets pass before the others.
    private func openWaiting() {
        for _ in 0..<Self.buildsInTurn {
            guard let (source, build) = waiting.next() else { return }
            open(build, of: source)
        }
        if waiting.count > 0 { waitingTimer?.schedule(at: loop.now + 1) }
    }

    private func open(_ build: WaitingBuild, of source: LinkSource) {
        let (now, message, link, isNode, answer) = (now, build.message, build.link, build.isNode, build.answer)
        // Nobody is there to be answered where the link has gone.
        guard links.source(of: link) != nil else { return }
        switch responder.open(message.records.rawSpan, from: Self.number(of: source), time: clock(), now: now) {
        case .unreadable(let fault): reset(answer, fault.name)
        case .refuse(let status, let reply): refuse(status, reply, answer)
        case .terminal(let keys, let reply, let secrets):
            guard !isDraining else { return refuse(.draining, reply, answer) }
            guard let path = insert(keys, link, message.pathID, next: nil, isNode: isNode, now) else {
                return refuse(.overloaded, reply, answer)
            }
            builds += 1
            exit?.pathBuilt(path, link: link.rawValue, source: source, secrets: secrets)
            let forwardID = forwarding.forwardID(of: path) ?? 0
            links.answer(answer, BuildBody.encode(pathID: forwardID, reply.answer(.ready)))
        case .onward(let node, let records, let keys, let reply):
            guard !isDraining else { return refuse(.draining, reply, answer) }
            guard let addresses = findNode(NodeID(node)) else { return refuse(.unknownNextHop, reply, answer) }
            let build = PendingBuild(
                keys: keys, reply: reply, records: records, previous: link, previousID: message.pathID, isNode: isNode,
                answer: answer)
            links.link(to: NodeID(node), at: addresses, for: source, limit: Self.linkLimit) { [weak self] next in
                self?.extend(build, over: next)
            }
        }
    }

    private func insert(
        _ keys: consuming HopKeys, _ link: LinkID, _ pathID: UInt64, next: LinkID?, isNode: Bool, _ now: Instant
    ) -> PathHandle? {
        let limit = isNode ? limits.pathsPerNodeLink : limits.pathsPerClientLink
        // A link that has all it may have makes no other path give way.
        guard forwarding.pathsAsked(by: link.rawValue) < limit, let source = links.source(of: link) else { return nil }
        let number = Self.number(of: source)
        let previous = PathEnd(link: link.rawValue, pathID: pathID)
        if forwarding.count >= limits.paths {
            guard let replaced = forwarding.pathToReplace(for: number, now: now) else { return nil }
            end(replaced)
        }
        guard
            let path = try? forwarding.insert(
                keys, previous: previous, nextLink: next?.rawValue, linkLimit: limit, source: number, now: now)
        else { return nil }
        links.addPath(on: link)
        if let next { links.addPath(on: next) }
        return path
    }

    /// A source as the table numbers them, by a hash whose key differs in every process.
    private static func number(of source: LinkSource) -> UInt64 {
        var hasher = Hasher()
        hasher.combine(source)
        return UInt64(truncatingIfNeeded: hasher.finalize())
    }

    /// Sends the rest of a build to the next hop, and its answer back.
    private func extend(_ build: PendingBuild, over next: LinkID?) {
        guard let next else { return build.refuse(.nextHopUnreachable, self) }
        guard links.peer(of: build.previous) != nil, let source = links.source(of: build.previous) else { return }
        let rate = SharedRate<LinkSource>(perSecond: limits.nodeBuildsPerSecond, burst: limits.nodeBuildBurst, now: now)
        guard onwardBuilds[next, default: rate].take(source, now) else {
            return build.refuse(.overloaded, self)
        }
        guard let keys = build.takeKeys(),
            let path = insert(keys, build.previous, build.previousID, next: next, isNode: build.isNode, now)
        else { return build.refuse(.overloaded, self) }
        let backwardID = forwarding.backwardID(of: path) ?? 0
        let message = BuildBody.encode(pathID: backwardID, build.records)
        links.request(on: next, PathMessage.build, body: message, timeout: Self.answerLimit) { [weak self] result in
            guard let self else { return }
            guard case .success(let body) = result,
                let built = BuildBody(body, recordsSize: BuildMessage.replyRecordsSize)
            else {
                discard(path)
                return build.refuse(.nextHopFailed, self)
            }
            guard built.pathID == 0 || forwarding.connect(path, nextPathID: built.pathID),
                let reply = build.takeReply(),
                let records = reply.wrap(built.records.rawSpan)
            else {
                discard(path)
                // The path may have ended here while the next hop built it: that one does not know.
                if built.pathID != 0 { links.destroy(built.pathID, on: next) }
                return build.refuse(.nextHopFailed, self)
            }
            let forwardID = built.pathID == 0 ? 0 : forwarding.forwardID(of: path) ?? 0
            if forwardID == 0 { discard(path) } else { builds += 1 }
            links.answer(build.answer, BuildBody.encode(pathID: forwardID, records))
        }
    }

    fileprivate func refuse(_ status: BuildStatus, _ reply: consuming HopReply, _ answer: ControlResponder) {
        refusals[status.name, default: 0] += 1
        links.answer(answer, BuildBody.encode(pathID: 0, reply.answer(status)))
    }

    private func reset(_ answer: ControlResponder, _ reason: String) {
        refusals[reason, default: 0] += 1
        links.refuse(answer)
    }

    // MARK: Ending

    /// A neighbour says that a path is over: it goes here, and the other neighbour is told.
    func destroy(_ pathID: UInt64, from link: LinkID) {
        guard let path = forwarding.handle(link: link.rawValue, pathID: pathID), let removed = forwarding.remove(path)
        else {
            return
        }
        release(removed)
        tell(removed, except: link)
    }

    /// Ends a path and tells its neighbours.
    func end(_ path: PathHandle) {
        guard let removed = forwarding.remove(path) else { return }
        release(removed)
        tell(removed, except: nil)
    }

    /// Ends all paths of a link that is gone.
    func linkEnded(_ link: LinkID) {
        linkBuilds[link] = nil
        onwardBuilds[link] = nil
        for removed in forwarding.removeAll(link: link.rawValue) {
            release(removed)
            tell(removed, except: link)
        }
    }

    /// Ends paths whose time is over; to be called every second.
    func sweep() {
        let removed = forwarding.sweep(now: now, limit: max(1024, forwarding.capacity / 4)) { [exit] in
            exit?.needs($0) ?? false
        }
        for removed in removed {
            release(removed)
            tell(removed, except: nil)
        }
    }

    /// Ends the paths over which nothing has passed since the call before, but for those that a stream of the exit needs.
    ///
    /// Their clients build others elsewhere, and what is open in a session goes on over those.
    func endQuiet() {
        for path in forwarding.quietPaths(since: &marks) where !(exit?.needs(path) ?? false) { end(path) }
    }

    /// Ends all paths.
    func endAll() {
        for path in forwarding.paths { end(path) }
    }

    /// A path that never stood leaves the table.
    private func discard(_ path: PathHandle) {
        if let removed = forwarding.remove(path) { release(removed) }
    }

    /// The links are no longer used by the path.
    private func release(_ removed: RemovedPath) {
        links.removePath(on: LinkID(rawValue: removed.previous.link))
        if let next = removed.next { links.removePath(on: LinkID(rawValue: next.link)) }
    }

    private func tell(_ removed: RemovedPath, except link: LinkID?) {
        exit?.pathEnded(removed.path)
        for end in [removed.previous, removed.next].compactMap({ $0 })
        where end.pathID != 0 && LinkID(rawValue: end.link) != link {
            links.destroy(end.pathID, on: LinkID(rawValue: end.link))
        }
    }
}

/// The body of BUILD or BUILT: a path id and records.
struct BuildBody {
    /// The body of these.
    static func encode(pathID: UInt64, _ records: [UInt8]) -> [UInt8] { BuildMessage.encode(pathID: pathID, records) }

    let pathID: UInt64
    let records: [UInt8]

    /// Reads a body whose records have `recordsSize` bytes; nil if it is anything else.
    init?(_ body: [UInt8], recordsSize: Int) {
        guard body.count == 8 + recordsSize else { return nil }
        pathID = unsafe body.rawSpan.unsafeLoadUnaligned(as: UInt64.self).littleEndian
        records = Array(body.dropFirst(8))
    }
}

/// A build that waits for its turn.
private struct WaitingBuild {
    let message: BuildBody
    let link: LinkID
    let isNode: Bool
    let answer: ControlResponder
}

/// A build that waits for its next hop.
///
/// The keys and the reply are used once.
private final class PendingBuild {
    let records: [UInt8]
    let previous: LinkID
    let previousID: UInt64
    let isNode: Bool
    let answer: ControlResponder
    private var keys: HopKeys?
    private var reply: HopReply?

    init(
        keys: consuming HopKeys, reply: consuming HopReply, records: [UInt8], previous: LinkID, previousID: UInt64,
        isNode: Bool, answer: ControlResponder
    ) {
        self.keys = consume keys
        self.reply = consume reply
        self.records = records
        self.previous = previous
        self.previousID = previousID
        self.isNode = isNode
        self.answer = answer
    }

    func takeKeys() -> HopKeys? { keys.take() }
    func takeReply() -> HopReply? { reply.take() }

    func refuse(_ status: BuildStatus, _ service: PathService) {
        guard let reply = takeReply() else { return }
        service.refuse(status, reply, answer)
    }
}
