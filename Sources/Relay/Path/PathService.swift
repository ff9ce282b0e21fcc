internal import Directory
internal import EventLoop
internal import Link
internal import Links
internal import Onion
internal import OnionCrypto
internal import Wire

/// The paths that this node carries.
///
/// It forwards their packets, and ends them.
final class PathService: PacketHandler {
    /// The longest time for a link to the next hop to come up.
    static let linkLimit = TimeSpan.seconds(3)
    /// The longest wait for the next hop's answer to a build.
    static let answerLimit = TimeSpan.seconds(8)
    /// The longest time for a build that came from a node, with the link to the next hop.
    ///
    /// It is shorter than ``answerLimit``, so that the node before hears which hop is silent, and does not take this
    /// one for it.
    static let innerLimit = TimeSpan.seconds(6)
    /// The most paths that wait for the next sweep to end them.
    static let endingLimit = 1_024

    private let links: Links
    private let limits: NetworkLimits
    private let listener: any PathListener
    private var forwarding: ForwardingTable
    /// The paths over each next hop, and the source of each path that leads on.
    private var onward: OnwardShares
    private var sources: [PathHandle: LinkSource] = [:]
    /// The receivers of packets of the paths that end here.
    private var ends: [PathHandle: any PathEnd] = [:]
    /// Paths that the next sweep ends because their ends do not need them.
    private var ending: Set<PathHandle> = []
    /// The number of drops, by reason.
    private(set) var drops = [UInt64](repeating: 0, count: DropReason.allCases.count)
    /// What goes on once other workers have their halves of a path, or it has ended: one for each path.
    private var waiting: [PathHandle: (Outcome) -> Void] = [:]
    /// The traffic of each path, as counted at the last ``endQuiet()``.
    private var passedBefore: [PathHandle: UInt64] = [:]

    /// No paths yet.
    ///
    /// `listener` takes those that are built to this node. `crew` has the halves of other workers.
    init(links: Links, network: NetworkFile, listener: any PathListener, crew: WorkerCrew? = nil) {
        self.links = links
        self.listener = listener
        limits = network.limits
        onward = OnwardShares(capacity: limits.pathsPerNodeLink)
        forwarding = ForwardingTable(
            worker: 0,
            maximumPaths: network.limits.paths, answerTime: .seconds(Int64(network.limits.halfOpenSeconds)),
            workers: crew?.count ?? 1, order: { crew?.order($0, $1) })
    }

    /// The number of paths.
    var pathCount: Int { forwarding.count }
    /// The number of paths that end here.
    var endCount: Int { ends.count }
    /// The number of paths that the next sweep ends because their ends do not need them.
    var endingCount: Int { ending.count }

    private var now: Instant { links.now }

    // MARK: Packets

    /// Takes one batch of packets of relayed paths.
    ///
    /// Each packet loses or gains this node's layer in place, and is sent from the memory where it is.
    func receive(_ packets: inout ReceivedPackets, table: inout LinkTable) {
        let now = now
        var next = 0
        while let delivery = PathPackets.pass(
            &packets, &table, &forwarding.halves, &drops, from: &next, now: now)
        {
            let packet = packets.packet(delivery.index)
            let payload = packet.bytes.extracting(droppingFirst: Packet.payloadOffset)
            ends[delivery.path]?.received(payload, number: delivery.number, now: now)
        }
    }

    /// Takes packets of paths that end here, which other workers have received.
    func take(_ copies: PacketCopies) {
        copies.deliver(on: links.loop) { batch in
            let now = now
            for number in 0..<batch.count {
                let packet = batch.packet(number)
                let (path, packetNumber) = EndPackets.read(packet)
                let payload = packet.bytes.extracting(droppingFirst: Packet.payloadOffset)
                ends[path]?.received(payload, number: packetNumber, now: now)
            }
        }
    }

    /// Makes a packet at a terminal.
    ///
    /// `fill` gets its number and payload, and returns whether there is something to send.
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

    /// Whether the socket of a link has room for another packet.
    func hasRoom(on link: UInt32) -> Bool { links.hasRoom(on: LinkID(rawValue: link)) }

    /// Skips a packet number at a terminal.
    func skipNumber(_ path: PathHandle) { forwarding.skipNumberAtTerminal(path) }

    // MARK: Making

    /// Enters a path that was requested over `link` and leads on over `next`, or ends here if `next` is nil.
    ///
    /// Returns nil if there is no place for it, or one of its links has ended or closes: its end has been told, and
    /// would not end the path.
    ///
    /// Where a source has its share of the paths over `next`, or the table is full, a path at rest of the source with the
    /// most paths is ended to make room.
    func insert(
        _ keys: consuming HopKeys, from link: LinkID, pathID: UInt64, next: LinkID?, isNode: Bool
    ) -> PathHandle? {
        let now = now
        let limit = isNode ? limits.pathsPerNodeLink : limits.pathsPerClientLink
        // A link that has reached its limit does not make another path give way.
        guard forwarding.pathsAsked(by: link.rawValue) < limit, let source = links.source(of: link),
            links.isOpen(link), next.map(links.isOpen) ?? true
        else { return nil }
        if let next, !takePlace(over: next, for: source) { return nil }
        let number = source.number
        let previous = PathNeighbour(link: link.rawValue, pathID: pathID)
        func refuse() -> PathHandle? {
            if let next { onward.release(over: next, of: source) }
            return nil
        }
        if forwarding.count >= limits.paths {
            guard let replaced = forwarding.pathToReplace(for: number, now: now) else { return refuse() }
            end(replaced)
        }
        guard
            let path = try? forwarding.insert(
                keys, previous: previous, nextLink: next?.rawValue, linkLimit: limit, source: number,
                owners: (links.owner(of: link), next.map { links.owner(of: $0) } ?? 0), now: now)
        else { return refuse() }
        links.addPath(on: link)
        if let next {
            links.addPath(on: next)
            sources[path] = source
        }
        return path
    }

    /// Takes a place over a next hop; a path at rest of the source with the most makes room for a smaller one's.
    private func takePlace(over next: LinkID, for source: LinkSource) -> Bool {
        if onward.take(over: next, for: source) { return true }
        guard let loser = onward.loser(over: next, for: source),
            let replaced = forwarding.quietPath(of: loser.number, over: next.rawValue, now: now)
        else { return false }
        end(replaced)
        onward.add(source, over: next)
        return true
    }

    /// Begins a path that ends here, which `source` requested over `link`.
    func begin(_ path: PathHandle, from link: LinkID, of source: LinkSource, secrets: consuming SessionSecrets) {
        let terminal = TerminalPath(path, of: self, link: link.rawValue, source: source)
        ends[path] = listener.pathBuilt(terminal, secrets: secrets)
    }

    /// The path id under which the neighbour towards the client sends; nil if the path has ended.
    func forwardID(of path: PathHandle) -> UInt64? { forwarding.forwardID(of: path) }

    /// The path id under which the next hop must send; nil if the path has ended.
    func backwardID(of path: PathHandle) -> UInt64? { forwarding.backwardID(of: path) }

    /// Connects a path that stands to the next hop's part of it, whose id is not 0.
    func connect(_ path: PathHandle, nextPathID: UInt64) {
        let isConnected = forwarding.connect(path, nextPathID: nextPathID)
        assert(isConnected, "a path that stands, and an id")
    }

    /// How the wait for the halves of a path, or for its end, ended.
    enum Outcome: Equatable {
        /// All workers have their halves.
        case stands
        /// It has ended before, by a neighbour's message, silence or the end of its link, or without a link by this
        /// node.
        case ended(by: LinkID?)
    }

    /// Goes on once a path's ids are known; at once, where no other worker has a half of it.
    func whenItStands(_ path: PathHandle, _ action: @escaping (Outcome) -> Void) {
        guard forwarding.isLive(path) else { return action(.ended(by: nil)) }
        if forwarding.stands(path) { return action(.stands) }
        waiting[path] = action
    }

    /// Goes on once a path that was connected takes packets; at once, where no other worker has a half of it.
    func whenItIsConnected(_ path: PathHandle, _ action: @escaping (Outcome) -> Void) {
        guard forwarding.isLive(path) else { return action(.ended(by: nil)) }
        if forwarding.isConnected(path) { return action(.stands) }
        waiting[path] = action
    }

    /// Goes on when a path ends that stands and is not connected, until ``stillStands(_:)``.
    func whenItEnds(_ path: PathHandle, _ action: @escaping (Outcome) -> Void) { waiting[path] = action }

    /// Whether a path has not ended; from now on its end tells nobody.
    func stillStands(_ path: PathHandle) -> Bool {
        waiting[path] = nil
        return forwarding.isLive(path)
    }

    /// Takes the answer of another worker.
    func take(_ answer: HalfAnswer) {
        switch forwarding.answered(answer) {
        case .none: break
        case .stands(let path), .connected(let path): waiting.removeValue(forKey: path)?(.stands)
        case .refused(let path): discard(path)
        case .found(let path, let link): destroy(path, from: LinkID(rawValue: link))
        }
    }

    /// Takes what has passed over other workers' halves.
    func take(_ reports: [HalfReport]) { forwarding.passed(reports) }

    /// Removes a path that was never complete.
    func discard(_ path: PathHandle) {
        if let removed = forwarding.remove(path) { release(removed) }
    }

    // MARK: Ending

    /// Removes a path that a neighbour has ended, and tells the other neighbour.
    func destroy(_ pathID: UInt64, from link: LinkID) {
        guard let path = forwarding.ask(link: link.rawValue, pathID: pathID) else { return }
        destroy(path, from: link)
    }

    private func destroy(_ path: PathHandle, from link: LinkID) {
        guard let removed = forwarding.remove(path) else { return }
        release(removed, endedBy: link)
        tell(removed, except: link)
    }

    /// Ends a path and tells its neighbours.
    func end(_ path: PathHandle) {
        guard let removed = forwarding.remove(path) else { return }
        release(removed)
        tell(removed, except: nil)
    }

    /// Ends all paths of a link that has ended.
    func linkEnded(_ link: LinkID) {
        for removed in forwarding.removeAll(link: link.rawValue) {
            release(removed, endedBy: link)
            tell(removed, except: link)
        }
        onward.linkEnded(link)
    }

    /// Marks a path that ends here for the next sweep to end it.
    ///
    /// Returns false if too many are marked.
    func endSoon(_ path: PathHandle) -> Bool {
        guard ending.count < Self.endingLimit else { return false }
        ending.insert(path)
        return true
    }

    /// Unmarks a path that the next sweep would end.
    func keep(_ path: PathHandle) { ending.remove(path) }

    /// Ends paths that have expired, or that their ends do not need.
    ///
    /// To be called every second.
    func sweep() {
        let unwanted = ending
        ending.removeAll(keepingCapacity: true)
        for path in unwanted { end(path) }
        let removed = forwarding.sweep(now: now, limit: max(1024, forwarding.capacity / 4)) { [ends] in
            ends[$0]?.isNeeded ?? false
        }
        for removed in removed {
            // The time of a path that is not connected is over because the next hop has not answered.
            release(removed, endedBy: removed.next.flatMap { $0.pathID == 0 ? LinkID(rawValue: $0.link) : nil })
            tell(removed, except: nil)
        }
    }

    /// Ends the paths that carried nothing since the call before, except those that are needed here.
    ///
    /// Their clients build other paths over other nodes, and open streams continue over those.
    func endQuiet() {
        for path in forwarding.quietPaths(since: &passedBefore) where ends[path]?.isNeeded != true { end(path) }
    }

    func endAll() {
        for path in forwarding.paths { end(path) }
    }

    /// Releases the path's links and tells its end.
    private func release(_ removed: RemovedPath, endedBy link: LinkID? = nil) {
        ending.remove(removed.path)
        ends.removeValue(forKey: removed.path)?.ended()
        waiting.removeValue(forKey: removed.path)?(.ended(by: link))
        links.removePath(on: LinkID(rawValue: removed.previous.link))
        if let next = removed.next {
            if let source = sources.removeValue(forKey: removed.path) {
                onward.release(over: LinkID(rawValue: next.link), of: source)
            }
            links.removePath(on: LinkID(rawValue: next.link))
        }
    }

    private func tell(_ removed: RemovedPath, except link: LinkID?) {
        for end in [removed.previous, removed.next].compactMap({ $0 })
        where end.pathID != 0 && LinkID(rawValue: end.link) != link {
            links.destroy(end.pathID, on: LinkID(rawValue: end.link))
        }
    }
}

extension LinkSource {
    /// The source's number in the table of paths: a hash with a key of this process.
    var number: UInt64 {
        var hasher = Hasher()
        hasher.combine(self)
        return UInt64(truncatingIfNeeded: hasher.finalize())
    }
}
