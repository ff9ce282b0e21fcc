// One file: the steps of the simulated world share private state.

import OnionCrypto
import Registry
import Testing
import Wire

@testable import Watch

/// The key of the node or account with this number.
func key(_ number: Int) -> SigningKey {
    var seed = [UInt8](repeating: 9, count: 32)
    (seed[0], seed[1]) = (UInt8(number & 255), UInt8(number >> 8))
    return SigningKey(seed: Secret(copying: seed.rawSpan))
}

let network = Bytes32([UInt8](repeating: 5, count: 32))!

func instant(_ seconds: Double) -> Instant { Instant(nanoseconds: UInt64(seconds * 1e9)) }

/// Nodes that watch each other, with a simulated network, one ledger state for all, and a clock.
///
/// Each node has its own operator. A test takes a second if the node answers, and three if it does not. A message takes
/// a tenth of a second.
///
/// It has more members than most types: the whole network, its faults, and what was seen.
final class World {
    /// A time in which a process is frozen; afterwards it goes on with its memory.
    struct Stall {
        let from: Double
        let to: Double
    }

    private struct Event {
        let at: Double
        let order: Int
        /// Its index in `runs`, so that the heap moves no references.
        let place: Int
        func isBefore(_ other: Event) -> Bool { (at, order) < (other.at, other.order) }
    }

    let count: Int
    let ids: [NodeID]
    private let places: [NodeID: Int]
    private let timing: Tester.Timing
    private let seed: UInt64
    var state: RegistryState
    var time = 0.0
    private(set) var testers: [Tester] = []
    /// The results of storage tests at each node; empty without a store.
    private(set) var storage: [Tester] = []
    private let storageTiming: Tester.Timing?
    /// Whether storage tests of a node fail.
    var loses: (_ node: Int, _ time: Double) -> Bool = { _, _ in false }
    private(set) var juries: [Jury] = []
    /// The ledger state that each node knows, and the number of nodes that it watches by that state.
    private var views: [Jury.View] = []
    private var watched: [Int]
    /// The number of restarts of each process.
    private var starts: [Int]
    private var random: SeededGenerator
    /// The events to come, as a heap with the earliest first.
    private var events: [Event] = []
    private var runs: [((World) -> Void)?] = []
    private var freeRuns: [Int] = []
    private var order = 0
    private var lies: Set<Lie> = []
    private var active: [Int] = []
    /// Whether each node is active, as in `active`.
    private var isActive: [Bool]
    /// Whether votes have digests instead of signatures, and verdicts are applied without a check of signatures.
    private let hasDigests: Bool
    let blockSeconds: Double
    /// The seconds between two ticks of a node.
    private let tickSeconds: Double
    /// The number of ticks between two times at which a jury considers the tests' results.
    private let ticksPerLook: Int
    private var ticks: [Int]
    /// Whether tests go on over two other nodes behind the tested one, as a client's paths do.
    var goesOn = false
    /// Whether node `a` can reach node `b` at a time; for `a` = `b`, whether its process runs.
    var reaches: (_ a: Int, _ b: Int, _ time: Double) -> Bool = { _, _, _ in true }
    /// Whether a node learns of new blocks, and the ledger hears the node.
    var hears: (_ node: Int, _ time: Double) -> Bool = { _, _ in true }
    /// Whether other nodes still have a dead link to a node, as right after its restart.
    var hasDeadLinks: (_ node: Int, _ time: Double) -> Bool = { _, _ in false }
    /// The times at which each node's process is frozen.
    var stalls: [[Stall]]
    /// Nodes that vote for every verdict that they are asked for, and accuse all others.
    var liars: Set<Int> = []
    /// Called after each block.
    var afterBlock: (World) -> Void = { _ in }
    /// Called when a node hands in a verdict.
    var onSubmit: (World, RegistryOperation.Action) -> Void = { _, _ in }
    /// The verdicts in order, each with its time and node.
    private(set) var verdicts: [(time: Double, verdict: RegistryOperation.Judgment, node: Int)] = []
    private(set) var refused = 0
    private(set) var tests = 0

    init(
        _ count: Int, seed: UInt64, blockSeconds: Double = 2, epochSeconds: UInt64 = 30, hasDigests: Bool = false,
        hasStore: Bool = false, _ change: (inout RegistryParameters) -> Void = { _ in }
    ) throws {
        self.count = count
        self.blockSeconds = blockSeconds
        self.hasDigests = hasDigests
        isActive = [Bool](repeating: false, count: count)
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
        timing = Tester.Timing(epochSeconds: epochSeconds)
        let judging = TimeSpan.seconds(Int64(blockSeconds) * 60)
        storageTiming = hasStore ? StorageTiming(epochSeconds: epochSeconds, judging: judging).tester : nil
        self.seed = seed
        random = SeededGenerator(seed: seed)
        tickSeconds = max(1, timing.interval.inSeconds / 4)
        ticksPerLook = max(1, Int(timing.interval.inSeconds / tickSeconds))
        ticks = [Int](repeating: 0, count: count)
        stalls = [[Stall]](repeating: [], count: count)
        watched = [Int](repeating: 0, count: count)
        starts = watched
        try state.begin(height: 1, time: 1_000, block: Self.hash(1), seed: Self.hash(1))
        for number in 0..<count {
            let operation = RegistryOperation(
                registering: key(number), fee: 0, stake: parameters.fullStake, network: network, nonce: 0,
                key: key(10_000 + number))
            try state.apply(operation)
        }
        views = [Jury.View](repeating: Jury.View(state), count: count)
        for number in 0..<count {
            testers.append(tester(number))
            if let storageTiming {
                storage.append(
                    Tester(timing: storageTiming, seed: seed &+ 31 &* UInt64(number), now: instant(time)))
            }
            juries.append(jury(number))
            at(Double(number) / Double(count) * tickSeconds) { $0.tick(number) }
        }
        at(blockSeconds) { $0.block() }
        tellAll()
    }

    private func tester(_ number: Int) -> Tester {
        let own = seed &+ UInt64(number) &* 7_919 &+ UInt64(starts[number]) &* 104_729
        return Tester(timing: timing, seed: own, now: instant(time))
    }

    private func jury(_ number: Int) -> Jury {
        Jury(
            node: ids[number], patience: max(.seconds(4), timing.interval),
            silence: Jury.silence(blockSeconds: UInt64(blockSeconds)))
    }

    /// Restarts a node's process, which knows only the ledger state on its disk.
    func restart(_ number: Int) {
        starts[number] += 1
        testers[number] = tester(number)
        juries[number] = jury(number)
        watched[number] = 0
        follow(views[number], by: number)
    }

    private struct Lie: Hashable {
        let liar: Int
        let ballot: Ballot
    }

    static func hash(_ height: UInt64) -> Bytes32 { Blake2b.digest([UInt8](String(height).utf8).rawSpan) }

    func standing(_ number: Int) -> RegisteredNode.Standing? { state.nodes[ids[number]]?.standing }

    private func later(_ delay: Double, _ run: @escaping (World) -> Void) { at(time + delay, run) }

    /// Runs `run` at a later time.
    func at(_ time: Double, _ run: @escaping (World) -> Void) {
        order += 1
        let free = freeRuns.popLast() ?? runs.count
        if free == runs.count { runs.append(run) } else { runs[free] = run }
        events.append(Event(at: time, order: order, place: free))
        var place = events.count - 1
        while place > 0, events[place].isBefore(events[(place - 1) / 2]) {
            events.swapAt(place, (place - 1) / 2)
            place = (place - 1) / 2
        }
    }

    private func nextEvent() -> Event {
        events.swapAt(0, events.count - 1)
        let event = events.removeLast()
        var place = 0
        while true {
            var first = place
            for child in [2 * place + 1, 2 * place + 2] where child < events.count {
                if events[child].isBefore(events[first]) { first = child }
            }
            if first == place { return event }
            events.swapAt(place, first)
            place = first
        }
    }

    private func tellAll() {
        isActive = (0..<count).map { standing($0) == .active }
        active = (0..<count).filter { isActive[$0] }
        let view = Jury.View(state)
        for number in 0..<count where hears(number, time) { follow(view, by: number) }
    }

    private func follow(_ view: Jury.View, by number: Int) {
        if !storage.isEmpty {
            for id in views[number].decommissioned.intersection(view.active) {
                storage[number].returned(id, now: instant(time))
            }
        }
        views[number] = view
        juries[number].follow(view, now: instant(time))
        // No node is registered later, so the number of nodes identifies them.
        guard watched[number] != view.state.nodes.count else { return }
        watched[number] = view.state.nodes.count
        let others = ids.filter { $0 != ids[number] && view.state.nodes[$0] != nil }
        testers[number].follow(others)
        if !storage.isEmpty { storage[number].follow(others) }
    }

    /// Runs the world until `end`.
    func run(until end: Double) {
        while let next = events.first, next.at <= end {
            time = next.at
            let place = nextEvent().place
            let run = runs[place]
            runs[place] = nil
            freeRuns.append(place)
            run?(self)
        }
        time = end
    }

    private func block() {
        later(blockSeconds) { $0.block() }
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

    /// Begins the tests that are due.
    ///
    /// The jury considers their results when a test contradicts the node's standing, and once between two tests.
    private func tick(_ number: Int) {
        later(tickSeconds) { $0.tick(number) }
        ticks[number] += 1
        guard reaches(number, number, time) else { return }
        while let target = testers[number].next(instant(time)) {
            tests += 1
            test(places[target]!, by: number)
        }
        testStorage(number)
        if ticks[number].isMultiple(of: ticksPerLook) { consider(number) }
    }

    /// Tests the storage of the nodes that are due; a suspended node, and one that does not serve, is not tested.
    private func testStorage(_ number: Int) {
        guard !storage.isEmpty else { return }
        while let target = storage[number].next(instant(time)) {
            let other = places[target]!
            guard isActive[other], testers[number].serves(target) else {
                storage[number].skipped(target, now: instant(time))
                continue
            }
            later(1) { world in
                let outcome = world.loses(other, world.time) ? TestOutcome.failed : .passed(capacity: nil)
                world.storage[number].finished(
                    target, outcome, at: .first(mayHide: false), now: instant(world.time))
            }
        }
    }

    private func isUp(_ other: Int, from number: Int) -> Bool {
        reaches(number, other, time) && reaches(other, other, time)
    }

    /// Whether a path goes on from node `number` to node `other`.
    private func leads(to other: Int, from number: Int) -> Bool {
        isUp(other, from: number) && !hasDeadLinks(other, time)
    }

    /// Tests a node as `Watching` does, as the first hop or the middle of a path of three over random active nodes.
    private func test(_ other: Int, by number: Int) {
        let further = goesOn ? furtherHops(apartFrom: [number, other]) : []
        let mayHide = further.count == 2 && isActive[other]
        if mayHide, testers[number].isToBeHidden(ids[other]) ?? (random.next() & 1 == 0) {
            let hasGuard = isUp(further[0], from: number)
            let isPassed = hasGuard && leads(to: other, from: further[0]) && leads(to: further[1], from: other)
            return finish(
                other, isPassed ? .passed(capacity: nil) : .unclear, at: .middle, over: further,
                after: isPassed ? 1 : hasGuard ? 8 : 3, by: number)
        }
        let place = TestPlace.first(mayHide: mayHide)
        let isReached = isUp(other, from: number)
        guard isReached, let next = further.first, !leads(to: next, from: other) else {
            return finish(
                other, isReached ? .passed(capacity: nil) : .failed, at: place, over: further,
                after: isReached ? 1 : 3, by: number)
        }
        // The second hop or the first is at fault; a path with the first hop alone decides.
        let (began, start) = (time, starts[number])
        later(8) { world in
            guard world.starts[number] == start else { return }
            let servesAlone = world.isUp(other, from: number)
            world.finish(
                other, servesAlone ? .unclear : .failed, at: place, over: further, servesAlone: servesAlone,
                after: servesAlone ? 1 : 3, since: began, by: number)
        }
    }

    /// Two random active nodes, or as many as there are.
    private func furtherHops(apartFrom excluded: [Int]) -> [Int] {
        let left = active.count - excluded.count { isActive[$0] }
        var hops: [Int] = []
        while hops.count < min(2, left) {
            let drawn = active[Int(random.next() % UInt64(active.count))]
            if !excluded.contains(drawn), !hops.contains(drawn) { hops.append(drawn) }
        }
        return hops
    }

    private func finish(
        _ tested: Int, _ outcome: TestOutcome, at place: TestPlace, over others: [Int], servesAlone: Bool = false,
        after delay: Double, since began: Double? = nil, by number: Int
    ) {
        let (began, start) = (began ?? time, starts[number])
        later(delay) { world in
            guard world.starts[number] == start else { return }
            // When a frozen process goes on, time-outs come before answers.
            if let stall = world.stalls[number].first(where: { $0.from <= world.time && world.time < $0.to }) {
                return world.finish(
                    tested, place == .middle ? .unclear : .failed, at: place, over: others,
                    after: stall.to - world.time, since: began, by: number)
            }
            world.finished(tested, outcome, at: place, over: others, servesAlone, since: began, by: number)
        }
    }

    /// A process that was frozen for more than 5 s since the test began ignores the result.
    private func finished(
        _ tested: Int, _ outcome: TestOutcome, at place: TestPlace, over others: [Int], _ servesAlone: Bool,
        since began: Double, by number: Int
    ) {
        let isStalled = stalls[number].contains { $0.to - $0.from > 5 && $0.to > began && $0.to <= time }
        guard reaches(number, number, time), !isStalled else {
            return testers[number].skipped(ids[tested], now: instant(time))
        }
        testers[number].exitOperators = active.count - 1
        testers[number].finished(
            ids[tested], outcome, at: place, over: others.map { ids[$0] },
            before: place == .middle ? others.last.map { ids[$0].key } : nil, servesAlone: servesAlone,
            now: instant(time))
        // If a node's standing fits its result, there is nothing to consider.
        if isActive[tested] == testers[number].marked.contains(ids[tested]) || juries[number].counts.own > 0
            || liars.contains(number)
        {
            consider(number)
        }
    }

    private func consider(_ number: Int) {
        guard reaches(number, number, time) else { return }
        // A liar votes and hands in verdicts whatever its own tests show.
        if liars.contains(number) { return lie(number) }
        perform(
            juries[number].consider(
                testers[number], storage: storage.isEmpty ? nil : storage[number], now: instant(time)), by: number)
    }

    /// Accuses every honest node at every fifth quorum that has this node as a judge, and votes.
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
                send(number, judges) { world, other in world.ask(ballot, other, from: number) }
            case .vote(let ballot):
                let block = state.quorums.last { $0.height == ballot.height }?.block ?? Bytes32()
                let message = RegistryOperation.ballot(
                    ballot.verdict, on: ballot.node, height: ballot.height, block: block, network: network)
                let signature =
                    hasDigests ? Self.digest(of: message, by: ids[number]) : key(number).sign(message.rawSpan)
                perform(juries[number].voted(ballot, signature: signature, now: instant(time)), by: number)
            case .spread(let votes, let judges):
                send(number, judges) { world, other in
                    guard let answer = world.tell(votes, other, from: number) else { return }
                    world.send(other, [world.ids[number]]) { world, back in
                        if let taken = world.take(answer, back, from: world.ids[other]) {
                            world.perform(taken.actions, by: back)
                        }
                    }
                }
            case .submit(let operation):
                onSubmit(self, operation)
                later(0.1) { world in world.submit(operation, by: number) }
            }
        }
    }

    /// Node `sender` asks node `number` to look at a node.
    func ask(_ ballot: Ballot, _ number: Int, from sender: Int) {
        if juries[number].asked(ballot, from: ids[sender], now: instant(time)) {
            expedite(ballot.node, at: number, for: sender)
        }
    }

    private func expedite(_ node: NodeID, at number: Int, for sender: Int) {
        testers[number].expedite(node, for: ids[sender], now: instant(time))
        if !storage.isEmpty { storage[number].expedite(node, for: ids[sender], now: instant(time)) }
    }

    /// Node `number` receives votes from node `sender`; returns its answer, or nil if it refuses the votes.
    func tell(_ votes: BallotVotes, _ number: Int, from sender: Int) -> BallotVotes? {
        guard let (answer, actions, isAsked) = take(votes, number, from: ids[sender]) else { return nil }
        if isAsked { expedite(votes.ballot.node, at: number, for: sender) }
        perform(actions, by: number)
        return answer
    }

    private func take(
        _ votes: BallotVotes, _ number: Int, from sender: NodeID
    ) -> (answer: BallotVotes, actions: [Jury.Action], isAsked: Bool)? {
        guard hasDigests else { return juries[number].take(votes, from: sender, now: instant(time)) }
        return juries[number].take(votes, from: sender, now: instant(time)) { signature, message, judge in
            signature == Self.digest(of: message, by: judge)
        }
    }

    /// 64 bytes in place of a node's signature; anyone can compute them.
    private static func digest(of message: [UInt8], by node: NodeID) -> [UInt8] {
        let digest = Blake2b.digest((node.key.array + message).rawSpan).array
        return digest + digest
    }

    /// Runs `run` at each of the nodes that are reached, a tenth of a second from now.
    private func send(_ from: Int, _ nodes: [NodeID], _ run: @escaping (World, Int) -> Void) {
        guard reaches(from, from, time) else { return }
        var reached: [(node: Int, start: Int)] = []
        for node in nodes {
            guard let other = places[node] else { continue }
            // Half of the messages to a frozen process are still there when it goes on.
            if let stall = stalls[other].first(where: { $0.from <= time && time < $0.to }) {
                guard hears(from, time), random.next() & 1 == 0 else { continue }
                at(stall.to + 0.1) { run($0, other) }
            } else if reaches(from, other, time) {
                reached.append((other, starts[other]))
            }
        }
        guard !reached.isEmpty else { return }
        later(0.1) { world in
            for (other, start) in reached where world.reaches(other, other, world.time) {
                if world.starts[other] == start { run(world, other) }
            }
        }
    }

    private func submit(_ action: RegistryOperation.Action, by number: Int) {
        guard hears(number, time) else { return }
        do {
            let operation = RegistryOperation(unsigned: action, network: network)
            if hasDigests { try state.applyVerified(operation) } else { try state.apply(operation) }
            if case .judge(let verdict, let node, _, _) = action {
                verdicts.append((time, verdict, places[node]!))
            }
            tellAll()
        } catch {
            refused += 1
        }
    }
}
