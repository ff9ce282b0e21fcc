import OnionCrypto
import Registry
import Testing
import Wire

@testable import Watch

/// The key of node or account number `number`.
func key(_ number: Int) -> SigningKey {
    var seed = [UInt8](repeating: 9, count: 32)
    (seed[0], seed[1]) = (UInt8(number & 255), UInt8(number >> 8))
    return SigningKey(seed: Secret(copying: seed.rawSpan))
}

let network = Bytes32([UInt8](repeating: 5, count: 32))!

func instant(_ seconds: Double) -> Instant { Instant(nanoseconds: UInt64(seconds * 1e9)) }

/// Nodes that watch one another over a simulated network, a ledger that is one state for all, and a clock.
///
/// Each node is its own operator. A test takes a second when the node answers and three when it does not; messages take a tenth.
final class World {
    let count: Int
    let ids: [NodeID]
    private let places: [NodeID: Int]
    var state: RegistryState
    var time = 0.0
    private(set) var testers: [Tester]
    private(set) var juries: [Jury]
    private var random: SeededGenerator
    private var events: [(at: Double, order: Int, run: (World) -> Void)] = []
    private var order = 0
    private var lies: Set<Lie> = []
    private var nextTick: [Double]
    private var nextBlock: Double
    let blockSeconds: Double
    /// Seconds between two ticks of a node.
    private let tickSeconds: Double
    /// Whether tests go on over two other nodes behind the tested one, as a client's paths do.
    var goesOn = false
    /// Whether node `a` can reach node `b` at a time.
    var reaches: (_ a: Int, _ b: Int, _ time: Double) -> Bool = { _, _, _ in true }
    /// When each node's process went on after it had stood still.
    lazy var stalls = [[Double]](repeating: [], count: count)
    /// Nodes that vote for every verdict that they are asked for, and accuse everyone.
    var liars: Set<Int> = []
    /// What happens right after each block.
    var afterBlock: (World) -> Void = { _ in }
    /// What happens when a node hands in a verdict.
    var onSubmit: (World, RegistryOperation.Action) -> Void = { _, _ in }
    /// What became of each node, in order: the time and the verdict.
    private(set) var verdicts: [(time: Double, verdict: RegistryOperation.Verdict, node: Int)] = []
    private(set) var refused = 0
    private(set) var tests = 0

    init(
        _ count: Int, seed: UInt64, blockSeconds: Double = 2, epochSeconds: UInt64 = 30,
        _ change: (inout RegistryParameters) -> Void = { _ in }
    ) throws {
        self.count = count
        self.blockSeconds = blockSeconds
        let treasury = Account(key(60_000).publicKey)
        var parameters = RegistryParameters(treasury: treasury)
        parameters.fullStake = 1_000
        parameters.creditAtStart = 600
        parameters.creditGrace = 60
        parameters.operationFee = 0
        change(&parameters)
        var balances: [Account: UInt64] = [:]
        for number in 0..<count { balances[Account(key(10_000 + number).publicKey)] = 2_000_000 }
        state = try #require(
            RegistryState(network: network, parameters: parameters, time: 1_000, pool: 0, balances: balances))
        let ids = (0..<count).map { NodeID(key($0).publicKey) }
        self.ids = ids
        places = Dictionary(uniqueKeysWithValues: ids.enumerated().map { ($1, $0) })
        let timing = Tester.Timing(epochSeconds: epochSeconds)
        random = SeededGenerator(seed: seed)
        testers = (0..<count).map { Tester(timing: timing, seed: seed &+ UInt64($0) &* 7_919, now: instant(0)) }
        juries = ids.map { Jury(node: $0, patience: max(.seconds(4), timing.interval)) }
        let ticks = max(1, timing.interval.inSeconds / 4)
        tickSeconds = ticks
        nextTick = (0..<count).map { Double($0) / Double(count) * ticks }
        nextBlock = blockSeconds
        try state.begin(height: 1, time: 1_000, block: Self.hash(1), seed: Self.hash(1))
        for number in 0..<count {
            let operation = RegistryOperation(
                registering: key(number), fee: 0, stake: parameters.fullStake, network: network, nonce: 0,
                key: key(10_000 + number))
            try state.apply(operation)
        }
        tellAll()
    }

    private struct Lie: Hashable {
        let liar: Int
        let ballot: Ballot
    }

    static func hash(_ height: UInt64) -> Bytes32 { Blake2b.digest([UInt8](String(height).utf8).rawSpan) }

    func standing(_ number: Int) -> RegisteredNode.Standing? { state.nodes[ids[number]]?.standing }

    private func later(_ delay: Double, _ run: @escaping (World) -> Void) {
        order += 1
        // Last first, by halving.
        let (at, order) = (time + delay, order)
        var (low, high) = (0, events.count)
        while low < high {
            let middle = (low + high) / 2
            if (events[middle].at, events[middle].order) > (at, order) { low = middle + 1 } else { high = middle }
        }
        events.insert((at, order, run), at: low)
    }

    private func tellAll() {
        let watched = ids.filter { state.nodes[$0] != nil }
        for number in 0..<count {
            testers[number].follow(watched.filter { $0 != ids[number] })
            juries[number].follow(state)
        }
    }

    /// Runs until `end`.
    func run(until end: Double) {
        while true {
            let tick = nextTick.indices.min { nextTick[$0] < nextTick[$1] }!
            let next = min(events.last?.at ?? .infinity, nextTick[tick], nextBlock)
            guard next <= end else { break }
            time = next
            if next == nextBlock {
                nextBlock += blockSeconds
                block()
            } else if let event = events.last, event.at == next {
                events.removeLast()
                event.run(self)
            } else {
                nextTick[tick] += tickSeconds
                self.tick(tick)
            }
        }
        time = end
    }

    private func block() {
        let height = state.height + 1
        do {
            try state.begin(
                height: height, time: 1_000 + UInt64(time), block: Self.hash(height), seed: Self.hash(height))
        } catch {
            Issue.record("a block was refused: \(error)")
        }
        tellAll()
        afterBlock(self)
    }

    private func tick(_ number: Int) {
        guard reaches(number, number, time) else { return }
        while let target = testers[number].next(instant(time)) {
            tests += 1
            let other = places[target]!
            let isReached = isUp(other, from: number)
            if goesOn, isReached, testBeyond(other, from: number) { continue }
            later(isReached ? 1 : 3) { world in
                world.finish(target, isReached ? .passed(capacity: nil) : .failed, by: number)
            }
        }
        consider(number)
    }

    private func isUp(_ other: Int, from number: Int) -> Bool {
        reaches(number, other, time) && reaches(other, other, time)
    }

    /// Tests `other` over further nodes, drawn of all active ones; false where nothing fails behind it.
    private func testBeyond(_ other: Int, from number: Int) -> Bool {
        var hops = [other]
        var active = (0..<count).filter { $0 != number && $0 != other && standing($0) == .active }
        while hops.count < 3, !active.isEmpty {
            hops.append(active.remove(at: Int(random.next() % UInt64(active.count))))
        }
        guard zip(hops, hops.dropFirst()).contains(where: { !isUp($1, from: $0) }) else { return false }
        let others = hops.dropFirst().map { ids[$0] }
        later(8) { world in
            let servesAlone = world.isUp(other, from: number)
            world.finish(
                world.ids[other], servesAlone ? .unclear : .failed, over: Array(others), servesAlone: servesAlone,
                by: number)
        }
        return true
    }

    /// A process that stood still meanwhile takes nothing from a test.
    private func finish(
        _ tested: NodeID, _ outcome: TestOutcome, over others: [NodeID] = [], servesAlone: Bool = false, by number: Int
    ) {
        guard reaches(number, number, time), !stalls[number].contains(where: { $0 > time - 8 && $0 <= time }) else {
            return testers[number].skipped(tested, now: instant(time))
        }
        testers[number].finished(
            tested, outcome, at: .first(mayHide: false), over: others, servesAlone: servesAlone, now: instant(time))
    }

    private func consider(_ number: Int) {
        guard reaches(number, number, time) else { return }
        if liars.contains(number) { lie(number) }
        perform(juries[number].consider(testers[number], now: instant(time)), by: number)
    }

    /// Accuses every node by each fifth quorum, and votes if it belongs to it.
    private func lie(_ number: Int) {
        guard let quorum = state.quorums.last, quorum.height.isMultiple(of: 5) else { return }
        for (other, id) in ids.enumerated() where !liars.contains(other) && state.nodes[id]?.standing == .active {
            let ballot = Ballot(verdict: .decommission, node: id, height: quorum.height)
            let judges = state.judges(of: id, height: quorum.height)
            guard judges.contains(ids[number]), lies.insert(Lie(liar: number, ballot: ballot)).inserted else {
                continue
            }
            perform([.ask(ballot, judges)], by: number)
            if juries[number].asked(ballot, from: ids[number], now: instant(time)) {
                perform([.vote(ballot)], by: number)
            }
        }
    }

    private func perform(_ actions: [Jury.Action], by number: Int) {
        for action in actions {
            switch action {
            case .ask(let ballot, let judges):
                for judge in judges {
                    send(number, judge) { world, other in
                        world.ask(ballot, other, from: number)
                    }
                }
            case .vote(let ballot):
                let block = state.quorums.last { $0.height == ballot.height }?.block ?? Bytes32()
                let message = RegistryOperation.ballot(
                    ballot.verdict, on: ballot.node, height: ballot.height, block: block, network: network)
                perform(
                    juries[number].voted(
                        ballot, signature: key(number).sign(message.rawSpan), now: instant(time)), by: number)
            case .spread(let votes, let judges):
                for judge in judges {
                    send(number, judge) { world, other in
                        guard let answer = world.tell(votes, other, from: number) else { return }
                        world.send(other, world.ids[number]) { world, back in
                            if let taken = world.juries[back].take(
                                answer, from: world.ids[other], now: instant(world.time))
                            {
                                world.perform(taken.actions, by: back)
                            }
                        }
                    }
                }
            case .submit(let operation):
                onSubmit(self, operation)
                later(0.1) { world in world.submit(operation) }
            }
        }
    }

    /// Node `number` is asked by node `sender` to look at a node.
    func ask(_ ballot: Ballot, _ number: Int, from sender: Int) {
        if juries[number].asked(ballot, from: ids[sender], now: instant(time)) {
            testers[number].hurry(ballot.node, for: ids[sender], now: instant(time))
        }
    }

    /// Node `number` gets votes of node `sender`; returns its answer, nil when it refuses them.
    func tell(_ votes: BallotVotes, _ number: Int, from sender: Int) -> BallotVotes? {
        guard let (answer, actions, isAsked) = juries[number].take(votes, from: ids[sender], now: instant(time)) else {
            return nil
        }
        if isAsked { testers[number].hurry(votes.ballot.node, for: ids[sender], now: instant(time)) }
        perform(actions, by: number)
        return answer
    }

    private func send(_ from: Int, _ to: NodeID, _ run: @escaping (World, Int) -> Void) {
        guard let other = places[to], reaches(from, other, time), reaches(other, other, time) else {
            return
        }
        later(0.1) { run($0, other) }
    }

    private func submit(_ action: RegistryOperation.Action) {
        do {
            try state.apply(RegistryOperation(unsigned: action, network: network))
            if case .judge(let verdict, let node, _, _) = action {
                verdicts.append((time, verdict, ids.firstIndex(of: node)!))
            }
            tellAll()
        } catch {
            refused += 1
        }
    }
}
