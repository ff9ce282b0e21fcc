internal import Directory
internal import EventLoop
internal import Links
internal import Logging
internal import OnionCrypto
internal import Registry
internal import Requests
internal import Sessions
internal import Store
internal import Swarm
internal import Watch
internal import Wire

/// This node's tests of others' storage (docs/protocol.md, section 11.4).
///
/// ``StorageTests`` decides; this type asks over ``AnonymousPaths``, and keeps the boxes in the node's database.
final class StorageDuty {
    private let loop: Loop
    private let links: Links
    private let network: NetworkFile
    private let store: Store?
    private let log: Logger
    private let paths: AnonymousPaths
    private let requests: RequestCalls
    private var tests: StorageTests
    /// Whether a node passes the tests of paths, by the last tick.
    private var serves: (NodeID, Instant?) -> Bool = { _, _ in false }
    /// Tests soon whether paths go over a node.
    private var testPaths: (NodeID) -> Void = { _ in }
    /// The height of the newest snapshot whose map was begun.
    private var height: UInt64?
    private var isClosed = false
    /// Whether the database failed at the last write.
    private var isUnwritable = false

    /// The tests of `node`; `store` keeps the boxes.
    init(
        links: Links, network: NetworkFile, node: NodeID, nodes: KnownNodes, choice: TestChoice,
        ledger: LedgerService?, store: Store?, log: Logger
    ) throws {
        loop = links.loop
        self.links = links
        self.network = network
        self.store = store
        self.log = log
        paths = try AnonymousPaths(on: loop, network: network, nodes: nodes, choice: choice)
        requests = RequestCalls(on: loop, network: network.id, paths: paths)
        var boxes: [NodeID: TestBox] = [:]
        for row in try store?.testBoxes() ?? [] { boxes[row.node] = TestBox(decoding: row.bytes) }
        tests = StorageTests(
            network: network.id, node: node, timing: Self.timing(of: network, ledger), boxes: boxes,
            random: SecureRandom(),
            now: links.now)
    }

    /// The times of a network: a quorum may judge as long as its votes are valid, or for two epochs without a ledger.
    private static func timing(of network: NetworkFile, _ ledger: LedgerService?) -> StorageTiming {
        var judging = TimeSpan.seconds(Int64(clamping: min(network.epochSeconds, 604_800))) * 2
        if let blocks = network.ledger?.blockSeconds, let ledger {
            judging = .seconds(Int64(clamping: min(blocks, 86_400))) * Int64(ledger.state.parameters.voteLifetime)
        }
        return StorageTiming(epochSeconds: network.epochSeconds, judging: judging)
    }

    private var now: Instant { links.now }

    /// The results.
    var tester: Tester { tests.tester }
    /// The figures for the operator.
    var status: StorageStatus {
        func results(_ counts: StorageTests.Counts.Results) -> StorageStatus.Results {
            .init(passed: counts.passed, failed: counts.failed, unclear: counts.unclear)
        }
        return StorageStatus(
            boxes: tests.boxCount, dead: tests.tester.dead(now).count, retention: results(tests.counts.retention),
            acceptance: results(tests.counts.acceptance))
    }

    // MARK: Events

    /// Watches these nodes; their shards are those of `snapshot`.
    func watch(_ nodes: [NodeID], by snapshot: Snapshot) {
        perform(tests.watch(nodes, now: now))
        guard height.map({ $0 < snapshot.height }) ?? true else { return }
        height = snapshot.height
        let numbers = network.swarms
        loop.work {
            SwarmMap(snapshot, shards: numbers.shards, swarmSize: numbers.size).map {
                SwarmView(height: snapshot.height, map: $0)
            }
        } completion: { [weak self] view in
            guard let self, let view, !isClosed else { return }
            perform(tests.follow(view, now: now))
        }
    }

    /// Begins what is due; to be called once a second or more often.
    ///
    /// `serves` says whether a node passes the tests of paths now.
    func tick(serves: @escaping (NodeID, Instant?) -> Bool, testPaths: @escaping (NodeID) -> Void) {
        (self.serves, self.testPaths) = (serves, testPaths)
        perform(tests.tick(serves: serves, now: now, time: links.time))
    }

    /// Tests `node` soon, at the request of `sender`.
    func expedite(_ node: NodeID, for sender: NodeID) { tests.expedite(node, for: sender, now: now) }

    /// The node is active again: only tests from now on can make it dead.
    func returned(_ node: NodeID) { tests.returned(node, now: now) }

    /// Ends all tests, because this process stood still.
    func void() { tests.void(now: now) }

    /// Ends all requests and links.
    func close(completion: @escaping () -> Void) {
        isClosed = true
        requests.close()
        paths.close(completion: completion)
    }

    // MARK: Actions

    private func perform(_ actions: [StorageTests.Action]) {
        for action in actions {
            switch action {
            case .find(let test, let map, let node): find(test, map, node)
            case .ask(let question): ask(question)
            case .testPaths(let node): testPaths(node)
            case .keep(let node, let box):
                write { () throws(StoreError) in
                    try store?.setTestBox(NodeRow(node: node, bytes: box.encoded))
                }
            case .forget(let node):
                write { () throws(StoreError) in try store?.removeTestBox(of: node) }
            }
        }
    }

    /// Writes to the database; without success the box is made anew after a restart.
    private func write(_ body: () throws(StoreError) -> Void) {
        do throws(StoreError) {
            try body()
            isUnwritable = false
        } catch {
            if !isUnwritable { log.warning("a test box cannot be kept", metadata: ["error": "\(error)"]) }
            isUnwritable = true
        }
    }

    private func find(_ test: UInt64, _ map: SwarmMap, _ node: NodeID) {
        loop.work {
            var random = SecureRandom()
            return TestBox.draw(in: map, for: node, using: &random)
        } completion: { [weak self] drawn in
            guard let self, !isClosed else { return }
            perform(tests.found(test, drawn, serves: serves, now: now, time: links.time))
        }
    }

    private func ask(_ question: StorageTests.Question) {
        guard let target = paths.target(question.node) else { return ended(question, .noProxy) }
        let method: RequestMethod =
            switch question.method {
            case .store: .store
            case .fetch: .fetch
            case .list, .delete, .lookup: .list
            }
        // Each request has an isolation key of its own, so that no session serves two of them.
        let call = RequestClient.Call(
            scope: .init(isolation: question.number, purpose: .box(question.box)), method: method, targets: [target],
            swarm: Set(question.swarm), arguments: { question.arguments($0) })
        requests.ask(call) { [weak self] in self?.ended(question, $0) }
    }

    private func ended(_ question: StorageTests.Question, _ outcome: RequestClient.Outcome) {
        guard !isClosed else { return }
        var (answer, bound): (StoreAnswer?, Bytes32) = (nil, Bytes32())
        if case .answered(let sealed, _, let binding) = outcome {
            // An answer that cannot be read is an answer all the same.
            let read = try? StoreAnswer(decoding: sealed.encoded().rawSpan, to: question.method)
            (answer, bound) = (read ?? .refused(.malformed), binding)
        } else if case .refused(.busy) = outcome {
            answer = .refused(.busy(seconds: 1))
        } else if outcome == .noProxy || outcome == .tooMany {
            return perform(tests.unasked(question.number, serves: serves, now: now, time: links.time))
        }
        perform(tests.answered(question.number, answer, binding: bound, serves: serves, now: now, time: links.time))
    }
}
