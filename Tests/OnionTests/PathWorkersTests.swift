import OnionCrypto
import SeededRandom
import Testing
import Wire

@testable import Onion

/// Messages between worker 0 and two others; those of one lane arrive in their order.
private final class Lanes {
    var orders: [[HalfOrder]] = [[], [], []]
    var answers: [[HalfAnswer]] = [[], [], []]
}

/// The halves of a worker other than worker 0.
private final class Other {
    var halves: PathHalves
    init(_ worker: UInt8, _ maximum: Int) { halves = PathHalves(worker: worker, maximum: maximum) }
}

/// A node with three workers, whose messages arrive when the test says so.
private final class Node {
    var table: ForwardingTable
    let others: [Other]
    private let lanes = Lanes()

    init(maximum: Int) {
        let lanes = lanes
        table = ForwardingTable(worker: 0, maximumPaths: maximum, workers: 3) { lanes.orders[Int($0)].append($1) }
        others = (0..<3).map { Other(UInt8($0), maximum) }
    }

    /// The worker that receives the packets of a link.
    static func owner(_ link: UInt32) -> UInt8 { UInt8(link % 3) }

    func insert(
        _ secret: borrowing Secret, _ previous: PathNeighbour, next: UInt32?, slot: Int = 2, now: Instant
    ) throws -> PathHandle {
        try table.insert(
            HopKeys(secret: secret, slot: slot, suite: .chacha20poly1305), previous: previous, nextLink: next,
            linkLimit: 1_000, owners: (Self.owner(previous.link), next.map(Self.owner) ?? 0), now: now)
    }

    /// How many messages wait.
    var waiting: Int { lanes.orders.map(\.count).reduce(0, +) + lanes.answers.map(\.count).reduce(0, +) }

    /// Delivers the next message of a lane that the seed chooses.
    func deliver(_ random: inout SeededGenerator) -> PathProgress {
        let orders = lanes.orders.indices.filter { !lanes.orders[$0].isEmpty }
        let answers = lanes.answers.indices.filter { !lanes.answers[$0].isEmpty }
        guard orders.count + answers.count > 0 else { return .none }
        let choice = Int.random(in: 0..<orders.count + answers.count, using: &random)
        if choice < orders.count {
            let worker = orders[choice]
            let order = lanes.orders[worker].removeFirst()
            if let answer = others[worker].halves.take(order) { lanes.answers[worker].append(answer) }
            return .none
        }
        return table.answered(lanes.answers[answers[choice - orders.count]].removeFirst())
    }

    /// Delivers everything; returns what it meant.
    @discardableResult
    func deliverAll(_ random: inout SeededGenerator) -> [PathProgress] {
        var all: [PathProgress] = []
        while waiting > 0 {
            let progress = deliver(&random)
            if progress != .none { all.append(progress) }
        }
        return all
    }

    /// What the worker that receives a link's packets does with one.
    func receive(_ packet: inout [UInt8], on link: UInt32, pathID: UInt64, now: Instant) -> ForwardingStep? {
        let worker = Self.owner(link)
        if worker == 0 { return Self.receive(&packet, link, pathID, &table.halves, now) }
        return Self.receive(&packet, link, pathID, &others[Int(worker)].halves, now)
    }

    static func receive(
        _ packet: inout [UInt8], _ link: UInt32, _ pathID: UInt64, _ halves: inout PathHalves, _ now: Instant
    ) -> ForwardingStep? {
        var span = packet.mutableRawSpan
        switch halves.find(link: link, pathID: pathID) {
        case .unknown: return nil
        case .forward(let place): return halves.forward(place, &span, now: now)
        case .backward(let place): return halves.backward(place, &span, now: now)
        }
    }

    func forwardID(_ path: PathHandle) -> UInt64? { table.forwardID(of: path) }
    func backwardID(_ path: PathHandle) -> UInt64? { table.backwardID(of: path) }

    /// The halves of all workers.
    var halfCount: Int { table.halves.count + others.map { $0.halves.count }.reduce(0, +) }
}

/// A path of a node with three workers, and the same one of a node with one.
private final class TwinPath {
    let path: PathHandle
    let twin: PathHandle
    let previous: PathNeighbour
    let next: PathNeighbour
    var client: HopLayers
    var stands = false
    var isConnecting = false
    var isConnected = false

    init(
        _ path: PathHandle, _ twin: PathHandle, _ previous: PathNeighbour, _ next: PathNeighbour,
        _ client: consuming HopLayers
    ) {
        self.path = path
        self.twin = twin
        self.previous = previous
        self.next = next
        self.client = client
    }
}

@Suite struct PathWorkersTests {
    @Test(
        "paths of three workers are built, connected, used and removed in any order as those of one", arguments: 1...40)
    func seeded(_ seed: Int) throws {
        var random = SeededGenerator(seed: UInt64(seed))
        let node = Node(maximum: 200)
        var single = ForwardingTable(worker: 0, maximumPaths: 200)
        var paths: [TwinPath] = []
        var (passed, connected, early) = (0, 0, 0)
        for step in 0..<1_500 {
            let now = at(Double(step) / 100)
            switch Int.random(in: 0..<12, using: &random) {
            case 0 where paths.count < 30:
                let secret = Secret.random()
                let previous = PathNeighbour(
                    link: .random(in: 1...6, using: &random), pathID: .random(in: 1...9, using: &random))
                let next = PathNeighbour(link: .random(in: 1...6, using: &random), pathID: UInt64(step + 1))
                let twin = try single.insert(
                    HopKeys(secret: secret, slot: 2, suite: .chacha20poly1305), previous: previous, nextLink: next.link,
                    linkLimit: 1_000, now: now)
                let path = try node.insert(secret, previous, next: next.link, now: now)
                let client = HopKeys(secret: secret, slot: 2, suite: .chacha20poly1305).clientEnds(now: now)
                let entry = TwinPath(path, twin, previous, next, client)
                entry.stands = node.table.stands(path)
                paths.append(entry)
            case 1:
                guard let entry = paths.randomElement(using: &random) else { continue }
                if !entry.stands { early += 1 }
                paths.removeAll { $0 === entry }
                #expect(node.table.remove(entry.path) != nil)
                _ = single.remove(entry.twin)
            case 2, 3:
                guard let entry = paths.filter({ $0.stands && !$0.isConnecting }).randomElement(using: &random) else {
                    continue
                }
                entry.isConnecting = true
                check(node.table.connect(entry.path, nextPathID: entry.next.pathID))
                check(!node.table.connect(entry.path, nextPathID: entry.next.pathID))
                check(single.connect(entry.twin, nextPathID: entry.next.pathID))
                entry.isConnected = node.table.isConnected(entry.path)
            case 4...6:
                guard let entry = paths.filter(\.isConnected).randomElement(using: &random) else { continue }
                pass(entry, node, &single, now, &random, step)
                passed += 1
            default:
                switch node.deliver(&random) {
                case .none: break
                case .stands(let path): paths.first { $0.path == path }?.stands = true
                case .connected(let path):
                    paths.first { $0.path == path }?.isConnected = true
                    connected += 1
                case .refused, .found: Issue.record("neither full nor asked")
                }
            }
        }
        #expect(passed > 0 && connected > 0 && early > 0)
        node.deliverAll(&random)
        #expect(node.halfCount == 2 * node.table.count && node.table.count == paths.count)
        for link in UInt32(1)...6 { _ = node.table.removeAll(link: link) }
        node.deliverAll(&random)
        #expect(node.halfCount == 0 && node.table.count == 0)
    }

    /// One packet over a path, at both nodes.
    private func pass(
        _ entry: TwinPath, _ node: Node, _ single: inout ForwardingTable, _ now: Instant,
        _ random: inout SeededGenerator,
        _ step: Int
    ) {
        var packet = (0..<200).map { _ in UInt8.random(in: 0...255, using: &random) }
        var other: [UInt8]
        let verdict: ForwardingStep?
        let expected: ForwardingStep?
        if Bool.random(using: &random) {
            do {
                var span = packet.mutableRawSpan
                check(entry.client.sealer.seal(&span, slot: 2, now: now) != nil)
            }
            other = packet
            let (id, twinID) = (node.table.forwardID(of: entry.path) ?? 0, single.forwardID(of: entry.twin) ?? 0)
            #expect(PathID.worker(of: id) == Node.owner(entry.previous.link))
            verdict = node.receive(&packet, on: entry.previous.link, pathID: id, now: now)
            expected = Node.receive(&other, entry.previous.link, twinID, &single.halves, now)
            #expect(verdict == .send(link: entry.next.link, pathID: entry.next.pathID), "step \(step)")
        } else {
            other = packet
            let (id, twinID) = (node.table.backwardID(of: entry.path) ?? 0, single.backwardID(of: entry.twin) ?? 0)
            #expect(PathID.worker(of: id) == Node.owner(entry.next.link))
            verdict = node.receive(&packet, on: entry.next.link, pathID: id, now: now)
            expected = Node.receive(&other, entry.next.link, twinID, &single.halves, now)
            #expect(verdict == .send(link: entry.previous.link, pathID: entry.previous.pathID), "step \(step)")
        }
        #expect(verdict == expected && packet == other, "step \(step)")
    }

    @Test("a path that goes before its workers have answered leaves no half") func early() throws {
        var random = SeededGenerator(seed: 1)
        let node = Node(maximum: 10)
        let path = try node.insert(.random(), PathNeighbour(link: 1, pathID: 7), next: 2, now: at(0))
        check(!node.table.stands(path))
        #expect(node.table.forwardID(of: path) == nil && node.table.backwardID(of: path) == nil)
        check(!node.table.connect(path, nextPathID: 5))
        #expect(node.table.remove(path) != nil)
        check(node.deliverAll(&random).isEmpty)
        #expect(node.halfCount == 0)
    }

    @Test("a worker without a place refuses its half, and the path leaves none") func full() throws {
        var random = SeededGenerator(seed: 2)
        let node = Node(maximum: 2)
        let first = try node.insert(.random(), PathNeighbour(link: 1, pathID: 7), next: 2, now: at(0))
        let second = try node.insert(.random(), PathNeighbour(link: 1, pathID: 8), next: 2, now: at(0))
        #expect(node.table.remove(first) != nil)
        // The others still hold the first one's halves.
        let third = try node.insert(.random(), PathNeighbour(link: 1, pathID: 9), next: 2, now: at(0))
        let progress = node.deliverAll(&random)
        check(progress.contains(.stands(second)) && progress.contains(.refused(third)))
        #expect(node.table.remove(third) != nil)
        node.deliverAll(&random)
        #expect(node.halfCount == 2 && node.table.count == 1)
        let fourth = try node.insert(.random(), PathNeighbour(link: 1, pathID: 9), next: 2, now: at(0))
        #expect(node.deliverAll(&random) == [.stands(fourth)])
    }

    @Test("a neighbour's path id is looked up by its worker, on that neighbour's link alone") func ask() throws {
        var random = SeededGenerator(seed: 3)
        let node = Node(maximum: 10)
        let path = try node.insert(.random(), PathNeighbour(link: 1, pathID: 7), next: 3, now: at(0))
        #expect(node.deliverAll(&random) == [.stands(path)])
        let id = try #require(node.forwardID(path))
        #expect(node.table.ask(link: 1, pathID: id) == nil)
        #expect(node.deliverAll(&random) == [.found(path, link: 1)])
        // On another link, or with the number of no worker, nothing is found.
        #expect(node.table.ask(link: 4, pathID: id) == nil)
        #expect(node.table.ask(link: 1, pathID: id | 9 << 56) == nil)
        #expect(node.waiting == 1)
        check(node.deliverAll(&random).isEmpty)
        // The other half is worker 0's.
        let backward = try #require(node.backwardID(path))
        #expect(node.table.ask(link: 3, pathID: backward) == path)
        // An answer that comes after the path has gone has no effect.
        #expect(node.table.ask(link: 1, pathID: id) == nil)
        #expect(node.table.remove(path) != nil)
        check(node.deliverAll(&random).isEmpty)
        #expect(node.halfCount == 0)
    }

    @Test("a path that ends here opens with its link's worker and seals with worker 0") func terminal() throws {
        var random = SeededGenerator(seed: 4)
        let node = Node(maximum: 10)
        let secret = Secret.random()
        let path = try node.insert(secret, PathNeighbour(link: 2, pathID: 7), next: nil, slot: 4, now: at(0))
        check(!node.table.isConnected(path))
        #expect(node.deliverAll(&random) == [.stands(path)])
        check(node.table.isConnected(path))
        var client = HopKeys(secret: secret, slot: 4, suite: .chacha20poly1305).clientEnds(now: at(0))
        var packet = [UInt8](repeating: 3, count: 200)
        do {
            var span = packet.mutableRawSpan
            check(client.sealer.seal(&span, slot: 4, now: at(0)) == 0)
        }
        let id = try #require(node.forwardID(path))
        #expect(node.receive(&packet, on: 2, pathID: id, now: at(0)) == .deliver(path: path, number: 0))
        var span = packet.mutableRawSpan
        let sealed = node.table.sealAtTerminal(path, &span, now: at(0))
        #expect(sealed.verdict == .send(link: 2, pathID: 7))
    }

    @Test("what passes with other workers counts as traffic, once they have told it") func reports() throws {
        var random = SeededGenerator(seed: 5)
        let node = Node(maximum: 10)
        let path = try node.insert(.random(), PathNeighbour(link: 1, pathID: 7), next: 2, now: at(0))
        node.deliverAll(&random)
        check(node.table.connect(path, nextPathID: 8))
        #expect(node.deliverAll(&random) == [.connected(path)])
        var passedBefore: [PathHandle: UInt64] = [:]
        check(node.table.quietPaths(since: &passedBefore).isEmpty)
        #expect(node.table.quietPaths(since: &passedBefore) == [path])
        let id = try #require(node.backwardID(path))
        var packet = [UInt8](repeating: 3, count: 200)
        #expect(node.receive(&packet, on: 2, pathID: id, now: at(1)) != nil)
        for other in node.others { node.table.passed(other.halves.report(now: at(1), limit: 1_000)) }
        check(node.table.quietPaths(since: &passedBefore).isEmpty)
        for other in node.others { check(other.halves.report(now: at(1), limit: 1_000).isEmpty) }
        #expect(node.table.quietPaths(since: &passedBefore) == [path])
    }
}

/// `#expect` for conditions that use values which cannot be copied.
private func check(_ condition: Bool, _ location: SourceLocation = #_sourceLocation) {
    #expect(condition, sourceLocation: location)
}
