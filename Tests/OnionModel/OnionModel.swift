// One file: the steps of the model share state that is private to it.

internal import Onion
internal import OnionCrypto
internal import Wire

/// Two honest clients, four honest nodes and a hostile one, on a network that loses, reorders, repeats and changes packets.
///
/// The hostile node takes part in paths, builds paths of its own, and sends again what it has seen. The choices come from
/// outside: a seed, or a fuzzer's input. A broken promise traps: what an honest end gets is what the other end sealed, under the
/// same number and once; a path stands only at hops that have accepted its record; a record is accepted once; tables keep their
/// bounds and forget what was removed.
public final class OnionModel {
    /// What was reached, so that a test can tell that it tried something.
    public struct Reached: Sendable {
        /// Paths of honest clients over honest nodes alone, and with the hostile one among the hops.
        public var paths = 0, mixedPaths = 0
        /// Builds that failed.
        public var failures = 0
        /// Payloads that came to an honest terminal, and to an honest client from an honest terminal.
        public var delivered = 0, opened = 0
        /// Packets and records that an honest node refused.
        public var dropped = 0, refusedRecords = 0
        /// Paths of the hostile client.
        public var hostilePaths = 0
        /// Paths that a node removed.
        public var removed = 0
    }

    private static let honest = 4
    /// The number of the hostile node, of the honest clients, and of the hostile one; a link has its peer's number.
    private static let hostile = 4, clients = [5, 6], attacker = 7
    private static let maximumPaths = 24, linkLimit = 8
    private static let network = Bytes32(copying: [UInt8](repeating: 7, count: 32).rawSpan)
    private static let start = Instant(nanoseconds: 1_000_000_000_000)
    /// Keys of all nodes: making them is slow, and no promise depends on them.
    private static let keys: [KEM.PrivateKey] = (0...hostile).map { _ in
        guard let key = try? KEM.PrivateKey() else { preconditionFailure("no onion key") }
        return key
    }

    private final class Node {
        let number: Int
        let id: Bytes32
        var responder: BuildResponder
        var table = ForwardingTable(worker: 0, maximumPaths: OnionModel.maximumPaths)
        /// The first record of each BUILD that was accepted.
        var accepted: Set<[UInt8]> = []

        init(_ number: Int) {
            self.number = number
            id = Bytes32(copying: [UInt8](repeating: UInt8(number + 1), count: 32).rawSpan)
            responder = BuildResponder(
                network: OnionModel.network, node: id, keys: OnionKeys(OnionModel.keys[number], now: OnionModel.start),
                cache: BuildReplayCache(now: OnionModel.start))
        }
    }

    /// A path of an honest client.
    private final class Route {
        let client: Int
        let hops: [Int]
        let guardID: UInt64
        /// The client's id for packets to it.
        let clientID: UInt64
        var path: ClientPath?
        /// The path at its last hop.
        let terminal: PathHandle
        /// The payloads by number, as the client and an honest terminal sealed them, and the numbers that have arrived.
        var sent: [UInt64: [UInt8]] = [:], answers: [UInt64: [UInt8]] = [:]
        var delivered: Set<UInt64> = [], opened: Set<UInt64> = []

        init(
            client: Int, hops: [Int], guardID: UInt64, clientID: UInt64, path: consuming ClientPath,
            terminal: PathHandle
        ) {
            self.client = client
            self.hops = hops
            self.guardID = guardID
            self.clientID = clientID
            self.path = consume path
            self.terminal = terminal
        }

        var last: Int { hops[hops.count - 1] }
    }

    private struct Flying {
        var bytes: [UInt8]
        let source: Int
        let target: Int
    }

    /// What a build has reached on its way.
    private struct Build {
        /// The handles that the hops of this build have.
        var handles: [(node: Int, path: PathHandle)] = []
    }

    private let nodes = (0...hostile).map(Node.init)
    private var routes: [Route] = []
    private var flying: [Flying] = []
    private var seenPackets: [Flying] = []
    private var seenRecords: [[UInt8]] = []
    private var nextClientIndex: UInt32 = 1
    private var seconds = 0.0
    /// What was reached so far.
    public private(set) var reached = Reached()

    /// The model without paths.
    public init() {}

    private var now: Instant { Self.start + .milliseconds(Int64(seconds * 1_000)) }
    private var time: UnixTime { UnixTime(seconds: 1_800_000_000 + UInt64(seconds)) }

    /// One step; `choose` gives a number below its argument.
    public func step(_ choose: (Int) -> Int) {
        switch choose(24) {
        case 0, 1: build(by: Self.clients[choose(2)], choose)
        case 2: build(by: Self.attacker, choose)
        case 3...6: if !routes.isEmpty { send(on: routes[choose(routes.count)], choose) }
        case 7...10: if !routes.isEmpty { answer(on: routes[choose(routes.count)], choose) }
        case 11...17: if !flying.isEmpty { deliver(flying.remove(at: choose(flying.count)), choose) }
        case 18: if !flying.isEmpty { flying.remove(at: choose(flying.count)) }
        case 19: if !seenPackets.isEmpty { deliver(seenPackets[choose(seenPackets.count)], choose) }
        case 20: if !seenPackets.isEmpty { deliver(spoiled(seenPackets[choose(seenPackets.count)], choose), choose) }
        case 21: replayRecords(choose)
        case 22: wait(choose)
        default: if choose(6) == 0, !routes.isEmpty { remove(routes[choose(routes.count)], choose) }
        }
        for node in nodes {
            precondition(node.table.count <= Self.maximumPaths, "a table beyond its bound")
            precondition(node.table.paths.count == node.table.count, "a table counts other paths than it has")
        }
    }

    private func wait(_ choose: (Int) -> Int) {
        seconds += choose(4) == 0 ? Double(choose(200)) : Double(choose(256)) / 64
        for node in nodes {
            reached.removed += node.table.sweep(now: now, limit: choose(64)).count
        }
        for route in routes { route.path?.forgetPreviousKeys(now) }
        // A client gives a path up before its hops do.
        routes.removeAll { route in nodes[route.last].table.forwardID(of: route.terminal) == nil }
    }

    // MARK: Builds

    private func target(_ number: Int) -> HopTarget {
        HopTarget(node: nodes[number].id, onionKey: Self.keys[number].publicKey, suite: .chacha20poly1305)
    }

    private func build(by client: Int, _ choose: (Int) -> Int) {
        let count = 1 + choose(3)
        var hops: [Int] = []
        while hops.count < count {
            // The nodes of a path differ.
            let start = choose(Self.honest + 1)
            guard
                let hop = (0...Self.honest).map({ (start + $0) % (Self.honest + 1) }).first(where: {
                    !hops.contains($0)
                })
            else { return }
            hops.append(hop)
        }
        guard let builder = try? PathBuilder(hops: hops.map(target), network: Self.network, time: time) else {
            preconditionFailure("no build")
        }
        nextClientIndex = nextClientIndex % 60_000 + 1
        let clientID = PathID.make(
            worker: 0, index: PathID.clientBit | nextClientIndex, random: UInt32(choose(256)) &* 0x0101_0101)
        var build = Build()
        let (guardID, reply) = accept(builder.records, at: 0, of: hops, from: client, clientID, &build, choose)
        guard let reply else { return reached.failures += 1 }
        var message = BuildMessage.encode(pathID: guardID, reply)
        // The guard's answer comes over a link that nobody else can change.
        if hops[0] == Self.hostile, choose(8) == 0 { message[choose(message.count)] ^= UInt8(1 << choose(8)) }
        switch builder.receive(message.rawSpan, now: now) {
        case .refused: reached.failures += 1
        case .broken: reached.failures += 1
        case .built(let path, let id):
            for (place, hop) in hops.enumerated() where hop != Self.hostile {
                precondition(
                    place < build.handles.count && build.handles[place].node == hop,
                    "a path over a hop that did not accept it")
            }
            guard client != Self.attacker else { return reached.hostilePaths += 1 }
            guard build.handles.count == hops.count else { return reached.failures += 1 }
            if hops.contains(Self.hostile) { reached.mixedPaths += 1 } else { reached.paths += 1 }
            if routes.count >= 12 { routes.removeFirst() }
            routes.append(
                Route(
                    client: client, hops: hops, guardID: id, clientID: clientID, path: path,
                    terminal: build.handles[hops.count - 1].path))
        }
    }

    /// A hop takes BUILD; its path id for the one before, and the answer, which is nil where the stream is reset.
    private func accept(
        _ records: [UInt8], at place: Int, of hops: [Int], from previous: Int, _ pathID: UInt64, _ build: inout Build,
        _ choose: (Int) -> Int
    ) -> (UInt64, [UInt8]?) {
        let node = nodes[hops[place]]
        var records = records
        // Only the hop before can change what it passes on.
        let isChanged = previous == Self.hostile && choose(4) == 0
        if isChanged { records[choose(records.count)] ^= UInt8(1 << choose(8)) }
        if seenRecords.count >= 32 { seenRecords.removeFirst() }
        seenRecords.append(records)
        let first = Array(records[..<BuildMessage.recordSize])
        let outcome = node.responder.open(records.rawSpan, from: UInt64(previous), time: time, now: now)
        let from = PathNeighbour(link: UInt32(previous), pathID: pathID)
        let isRefused = choose(12) == 0
        switch consume outcome {
        case .unreadable:
            reached.refusedRecords += 1
            return (0, nil)
        case .refuse(let status, let reply): return (0, reply.answer(status))
        case .terminal(let keys, let reply, _):
            note(first, at: node)
            guard !isRefused, place == hops.count - 1,
                let handle = try? node.table.insert(
                    keys, previous: from, nextLink: nil, linkLimit: Self.linkLimit, now: now),
                let id = node.table.forwardID(of: handle)
            else { return (0, reply.answer(.overloaded)) }
            build.handles.append((node.number, handle))
            return (id, reply.answer(.ready))
        case .onward(let next, let onward, let keys, let reply):
            note(first, at: node)
            guard !isRefused, place + 1 < hops.count, nodes[hops[place + 1]].id == next,
                let handle = try? node.table.insert(
                    keys, previous: from, nextLink: UInt32(hops[place + 1]), linkLimit: Self.linkLimit, now: now),
                let backwardID = node.table.backwardID(of: handle)
            else { return (0, reply.answer(.overloaded)) }
            build.handles.append((node.number, handle))
            var (nextID, answer) = accept(
                onward, at: place + 1, of: hops, from: node.number, backwardID, &build, choose)
            if hops[place + 1] == Self.hostile, choose(6) == 0, let count = answer?.count {
                answer?[choose(count)] ^= UInt8(1 << choose(8))
                if choose(2) == 0 { nextID ^= 1 << UInt64(choose(64)) }
            }
            guard let answer, node.table.connect(handle, nextPathID: nextID) else {
                _ = node.table.remove(handle)
                return (0, reply.answer(.nextHopFailed))
            }
            guard let wrapped = reply.wrap(answer.rawSpan), let id = node.table.forwardID(of: handle) else {
                preconditionFailure("an answer of the right size is not wrapped")
            }
            return (id, wrapped)
        }
    }

    private func note(_ record: [UInt8], at node: Node) {
        precondition(node.accepted.insert(record).inserted, "a record is accepted twice")
    }

    /// The hostile node sends a BUILD again, or a changed one, to any node.
    private func replayRecords(_ choose: (Int) -> Int) {
        guard !seenRecords.isEmpty else { return }
        var records = seenRecords[choose(seenRecords.count)]
        if choose(2) == 0 { records[choose(records.count)] ^= UInt8(1 << choose(8)) }
        let node = nodes[choose(Self.honest)]
        let first = Array(records[..<BuildMessage.recordSize])
        switch node.responder.open(records.rawSpan, from: UInt64(Self.hostile), time: time, now: now) {
        case .unreadable: reached.refusedRecords += 1
        case .refuse: break
        case .terminal: note(first, at: node)
        case .onward: note(first, at: node)
        }
    }

    // MARK: Packets

    private func payload(_ choose: (Int) -> Int) -> [UInt8] {
        [UInt8](repeating: UInt8(choose(256)), count: Packet.minimumSize - Packet.payloadOffset)
    }

    private func packet(_ payload: [UInt8]) -> [UInt8] {
        [UInt8](repeating: 0xee, count: Packet.payloadOffset) + payload
    }

    /// The client sends a packet.
    private func send(on route: Route, _ choose: (Int) -> Int) {
        guard var path = route.path.take() else { return }
        let payload = payload(choose)
        var bytes = packet(payload)
        var span = bytes.mutableRawSpan
        span.pathID = route.guardID
        let number = path.seal(&span, now: now)
        route.path = consume path
        guard let number else { return }
        precondition(route.sent.updateValue(payload, forKey: number) == nil, "a number is used twice")
        fly(Flying(bytes: bytes, source: route.client, target: route.hops[0]))
    }

    /// The terminal sends a packet.
    private func answer(on route: Route, _ choose: (Int) -> Int) {
        let node = nodes[route.last]
        let payload = payload(choose)
        var bytes = packet(payload)
        var span = bytes.mutableRawSpan
        let (verdict, number) = node.table.sealAtTerminal(route.terminal, &span, now: now)
        guard case .send(let link, _) = verdict else { return }
        precondition(route.answers.updateValue(payload, forKey: number) == nil, "a number is used twice")
        fly(Flying(bytes: bytes, source: node.number, target: Int(link)))
    }

    private func fly(_ packet: Flying) {
        if flying.count >= 64 { flying.removeFirst() }
        flying.append(packet)
        if seenPackets.count >= 64 { seenPackets.removeFirst() }
        seenPackets.append(packet)
    }

    private func spoiled(_ packet: Flying, _ choose: (Int) -> Int) -> Flying {
        var copy = packet
        for _ in 0...choose(3) {
            let place = choose(3) == 0 ? choose(Packet.payloadOffset) : choose(copy.bytes.count)
            copy.bytes[place] ^= UInt8(1 << choose(8))
        }
        return copy
    }

    private func deliver(_ packet: Flying, _ choose: (Int) -> Int) {
        guard packet.target <= Self.hostile else { return arrive(packet) }
        let node = nodes[packet.target]
        var bytes = packet.bytes
        var span = bytes.mutableRawSpan
        let verdict: ForwardingStep
        switch node.table.find(link: UInt32(packet.source), pathID: span.pathID) {
        case .unknown: verdict = .drop(.unknownPath)
        case .forward(let place): verdict = node.table.forward(place, &span, now: now)
        case .backward(let place): verdict = node.table.backward(place, &span, now: now)
        }
        switch verdict {
        case .drop: reached.dropped += 1
        case .send(let link, _):
            var next = Flying(bytes: bytes, source: node.number, target: Int(link))
            if node.number == Self.hostile, choose(4) == 0 { next = spoiled(next, choose) }
            fly(next)
        case .deliver(let path, let number):
            guard node.number != Self.hostile,
                let route = routes.first(where: { $0.last == node.number && $0.terminal == path })
            else { return }
            precondition(
                route.sent[number] == Array(bytes[Packet.payloadOffset...]), "a payload that the client did not seal")
            precondition(route.delivered.insert(number).inserted, "a packet is delivered twice")
            reached.delivered += 1
        }
    }

    /// A client takes a packet.
    private func arrive(_ packet: Flying) {
        var bytes = packet.bytes
        var span = bytes.mutableRawSpan
        let pathID = span.pathID
        guard
            let route = routes.first(where: {
                $0.client == packet.target && $0.hops[0] == packet.source && $0.clientID == pathID
            }), var path = route.path.take()
        else { return }
        let opening = path.open(&span, now: now)
        route.path = consume path
        switch opening {
        case .dropped: reached.dropped += 1
        case .packet(let number):
            // The hostile terminal runs the same code here, so what it seals is known too.
            precondition(
                route.answers[number] == Array(bytes[Packet.payloadOffset...]),
                "a payload that the terminal did not seal")
            precondition(route.opened.insert(number).inserted, "a packet is opened twice")
            if route.last != Self.hostile { reached.opened += 1 }
        }
    }

    // MARK: Ends

    /// A hop removes the path, or loses the link by which it came.
    private func remove(_ route: Route, _ choose: (Int) -> Int) {
        let node = nodes[route.last]
        if choose(2) == 0 {
            precondition(node.table.remove(route.terminal) != nil, "a path that stands cannot be removed")
            precondition(node.table.remove(route.terminal) == nil, "a path is removed twice")
            reached.removed += 1
        } else {
            let link = UInt32(route.hops.count > 1 ? route.hops[route.hops.count - 2] : route.client)
            reached.removed += node.table.removeAll(link: link).count
            precondition(node.table.pathsAsked(by: link) == 0, "paths of a link that is gone")
        }
        routes.removeAll { nodes[$0.last].table.forwardID(of: $0.terminal) == nil }
    }
}
