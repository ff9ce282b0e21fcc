internal import Directory
internal import EventLoop
internal import Link
internal import Links
internal import Onion
internal import OnionCrypto
internal import Wire

/// The paths that this node carries: it forwards their packets, and ends them.
final class PathService: PacketHandler {
    /// How long a link to the next hop may take to come up.
    static let linkLimit = TimeSpan.seconds(3)
    /// How long the next hop may take to answer a build.
    static let answerLimit = TimeSpan.seconds(8)
    /// How many paths may wait for the next sweep to end them.
    static let endingLimit = 1_024

    private let links: Links
    private let limits: NetworkLimits
    private let listener: any PathListener
    private var forwarding: ForwardingTable
    /// Where the packets of the paths go that end here.
    private var ends: [PathHandle: any PathEnd] = [:]
    /// Paths that the next sweep ends: their ends have no use for them.
    private var ending: Set<PathHandle> = []
    /// Drops by reason.
    private(set) var drops = [UInt64](repeating: 0, count: DropReason.allCases.count)
    /// What has passed over each path, at the last look while it drains.
    private var marks: [PathHandle: UInt64] = [:]

    /// No paths yet; `listener` takes those that are built to here.
    init(links: Links, network: NetworkFile, listener: any PathListener) {
        self.links = links
        self.listener = listener
        limits = network.limits
        forwarding = ForwardingTable(
            maximumPaths: network.limits.paths, answerTime: .seconds(Int64(network.limits.halfOpenSeconds)))
    }

    /// How many paths there are.
    var pathCount: Int { forwarding.count }
    /// How many paths end here.
    var endCount: Int { ends.count }
    /// How many paths the next sweep ends because their ends have no use for them.
    var endingCount: Int { ending.count }

    private var now: Instant { links.now }

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
            ends[delivery.path]?.received(payload, number: delivery.number, now: now)
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

    // MARK: Making

    /// Enters a path that was asked for over `link`, and that leads on over `next`, or ends here; nil when there is no place for it.
    ///
    /// In a full table a path of the source with the most gives way.
    func insert(
        _ keys: consuming HopKeys, from link: LinkID, pathID: UInt64, next: LinkID?, isNode: Bool
    ) -> PathHandle? {
        let now = now
        let limit = isNode ? limits.pathsPerNodeLink : limits.pathsPerClientLink
        // A link that has all it may have makes no other path give way.
        guard forwarding.pathsAsked(by: link.rawValue) < limit, let source = links.source(of: link) else { return nil }
        let number = source.number
        let previous = PathNeighbour(link: link.rawValue, pathID: pathID)
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

    /// Begins a path that ends here, which `source` asked for over `link`.
    func begin(_ path: PathHandle, from link: LinkID, of source: LinkSource, secrets: consuming SessionSecrets) {
        let terminal = TerminalPath(path, of: self, link: link.rawValue, source: source)
        ends[path] = listener.pathBuilt(terminal, secrets: secrets)
    }

    /// Under which id the neighbour towards the client sends; nil for a path that is gone.
    func forwardID(of path: PathHandle) -> UInt64? { forwarding.forwardID(of: path) }

    /// Under which id the next hop is to send; nil for a path that is gone.
    func backwardID(of path: PathHandle) -> UInt64? { forwarding.backwardID(of: path) }

    /// Joins a path to the next hop's part of it; false for a path that is gone.
    func connect(_ path: PathHandle, nextPathID: UInt64) -> Bool { forwarding.connect(path, nextPathID: nextPathID) }

    /// A path that never stood leaves the table.
    func discard(_ path: PathHandle) {
        if let removed = forwarding.remove(path) { release(removed) }
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
        for removed in forwarding.removeAll(link: link.rawValue) {
            release(removed)
            tell(removed, except: link)
        }
    }

    /// Has the next sweep end a path that ends here; false when too many wait for it.
    func endSoon(_ path: PathHandle) -> Bool {
        guard ending.count < Self.endingLimit else { return false }
        ending.insert(path)
        return true
    }

    /// Has a path stay that the next sweep was to end.
    func keep(_ path: PathHandle) { ending.remove(path) }

    /// Ends paths whose time is over, or whose ends have no use for them; to be called every second.
    func sweep() {
        let unwanted = ending
        ending.removeAll(keepingCapacity: true)
        for path in unwanted { end(path) }
        let removed = forwarding.sweep(now: now, limit: max(1024, forwarding.capacity / 4)) { [ends] in
            ends[$0]?.isNeeded ?? false
        }
        for removed in removed {
            release(removed)
            tell(removed, except: nil)
        }
    }

    /// Ends the paths over which nothing has passed since the call before, but for those that are needed here.
    ///
    /// Their clients build others elsewhere, and what is open in a session goes on over those.
    func endQuiet() {
        for path in forwarding.quietPaths(since: &marks) where ends[path]?.isNeeded != true { end(path) }
    }

    /// Ends all paths.
    func endAll() {
        for path in forwarding.paths { end(path) }
    }

    /// The links are no longer used by the path, and its end hears of it.
    private func release(_ removed: RemovedPath) {
        ending.remove(removed.path)
        ends.removeValue(forKey: removed.path)?.ended()
        links.removePath(on: LinkID(rawValue: removed.previous.link))
        if let next = removed.next { links.removePath(on: LinkID(rawValue: next.link)) }
    }

    private func tell(_ removed: RemovedPath, except link: LinkID?) {
        for end in [removed.previous, removed.next].compactMap({ $0 })
        where end.pathID != 0 && LinkID(rawValue: end.link) != link {
            links.destroy(end.pathID, on: LinkID(rawValue: end.link))
        }
    }
}

extension LinkSource {
    /// The source as the table of paths numbers them, by a hash whose key differs in every process.
    var number: UInt64 {
        var hasher = Hasher()
        hasher.combine(self)
        return UInt64(truncatingIfNeeded: hasher.finalize())
    }
}
