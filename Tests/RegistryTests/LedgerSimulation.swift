import OnionCrypto
import SeededRandom
import Testing
import Wire

@testable import Registry

/// Authorities and followers on a virtual clock, with a lossy and slow network, disks that outlive processes, and
/// kills.
///
/// Some of the nodes may be hostile (`LedgerCabal`). Everything follows from the seed.
///
/// It has more members than most types: authorities, followers, the network, and what was signed.
final class LedgerSimulation {
    struct Conditions {
        /// The number of lost messages in 100.
        var loss = 0
        /// The longest delay of a message, in milliseconds.
        var delay: UInt64 = 20
        /// The number of lists of actions in 1,000 during which the process is killed.
        var kills = 0
        /// The side of each node; nodes on different sides cannot reach each other.
        var side: [Int: Int] = [:]
    }

    /// The data that outlives a process.
    struct Disk {
        var acceptor: [UInt8]?
        var blocks: [[UInt8]] = []
    }

    private struct Event {
        let time: UInt64
        let number: UInt64
        let run: () -> Void
    }

    /// A node's refusal of a block, in one of the node's lives.
    private struct Refusal: Hashable {
        let node: Int
        let life: Int
        let height: UInt64
        let slot: UInt64
    }

    let realm: Realm
    let ids: [NodeID]
    var conditions = Conditions()
    var disks: [Disk]
    /// Nil while a node is down.
    var nodes: [LedgerNode?]
    private var lives: [Int]
    /// How far each clock is ahead, in milliseconds.
    var skews: [Int64]
    var random: SeededGenerator
    /// The hostile nodes, by their places.
    let cabal: LedgerCabal
    private var events: [Event] = []
    private var eventCount: UInt64 = 0
    private(set) var now = start * 1_000
    /// The hash of the final block of each height, from any node.
    private(set) var finals: [UInt64: Bytes32] = [:]
    private(set) var results: [UInt64: SubmitResult] = [:]
    private(set) var warnings: [LedgerWarning] = []
    private(set) var killCount = 0
    private var refusals: Set<Refusal> = []
    private var nextSubmission: UInt64 = 1

    init(
        _ realm: Realm, followers: UInt64 = 2, seed: UInt64, skew: Int64 = 0, hostile: [Int: LedgerCabal.Kind] = [:]
    ) {
        cabal = LedgerCabal(hostile)
        self.realm = realm
        random = SeededGenerator(seed: seed)
        let count = UInt64(realm.rules.authorities.count) + followers
        ids = (0..<count).map { NodeID(key(3000 + $0).publicKey) }
        disks = ids.map { _ in Disk() }
        nodes = ids.map { _ in nil }
        lives = ids.map { _ in 0 }
        var skews: [Int64] = []
        for _ in ids { skews.append(skew == 0 ? 0 : Int64.random(in: -skew...skew, using: &random)) }
        self.skews = skews
        for index in ids.indices where hostile[index] == nil { boot(index) }
        plot()
    }

    /// Hostile nodes act ten times a second.
    private func plot() {
        guard !cabal.kinds.isEmpty else { return }
        cabal.act(in: self)
        after(100) { [self] in plot() }
    }

    func isHostile(_ index: Int) -> Bool { cabal.kinds[index] != nil }
    var honest: [Int] { ids.indices.filter { !isHostile($0) } }

    func clock(_ index: Int) -> UInt64 { UInt64(Int64(now) + skews[index]) }

    // MARK: Life

    /// Starts a node from its disk.
    private func boot(_ index: Int) {
        var chain = LedgerChain(realm.rules)
        for bytes in disks[index].blocks {
            do {
                try chain.append(FinalBlock(decoding: bytes.rawSpan), now: clock(index) / 1_000)
            } catch {
                Issue.record("the disk of \(index) has a block that is refused: \(error)")
            }
        }
        var authority: Authority?
        if index < realm.rules.authorities.count {
            var acceptor: AcceptorState?
            if let bytes = disks[index].acceptor { acceptor = try? AcceptorState(decoding: bytes.rawSpan) }
            #expect((acceptor == nil) == (disks[index].acceptor == nil))
            authority = Authority(realm.rules, key: key(2000 + UInt64(index)), kept: acceptor) { [unowned self] in
                bytes32(78, random.next())
            }
        }
        nodes[index] = LedgerNode(
            node: ids[index], chain: chain, epochs: EpochSnapshots(seconds: 10), authority: authority)
        lives[index] += 1
        tick(index, life: lives[index])
    }

    /// Ends a process; it starts again after `time`, or never if that is nil.
    func kill(_ index: Int, for time: UInt64?) {
        nodes[index] = nil
        lives[index] += 1
        killCount += 1
        if let time { after(time) { [self] in if nodes[index] == nil { boot(index) } } }
    }

    func revive(_ index: Int) { if nodes[index] == nil, !isHostile(index) { boot(index) } }

    private func tick(_ index: Int, life: Int) {
        guard lives[index] == life, nodes[index] != nil else { return }
        let actions = nodes[index]!.tick(now: clock(index))
        perform(actions, index)
        after(200) { [self] in tick(index, life: life) }
    }

    // MARK: Time

    func after(_ delay: UInt64, _ run: @escaping () -> Void) {
        let event = Event(time: now + delay, number: eventCount, run: run)
        eventCount += 1
        var (low, high) = (0, events.count)
        while low < high {
            let middle = (low + high) / 2
            // The earliest event is last.
            if (events[middle].time, events[middle].number) > (event.time, event.number) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        events.insert(event, at: low)
    }

    func run(for time: UInt64) {
        let end = now + time
        while let event = events.last, event.time <= end {
            events.removeLast()
            now = max(now, event.time)
            event.run()
        }
        now = end
    }

    // MARK: Actions

    /// Does the actions in order; a kill may cut the list, and the rest is then not done.
    func perform(_ actions: [LedgerNode.Action], _ index: Int) {
        let isKilled = !actions.isEmpty && Int.random(in: 0..<1_000, using: &random) < conditions.kills
        let count = isKilled ? Int.random(in: 0...actions.count, using: &random) : actions.count
        for action in actions.prefix(count) {
            switch action {
            case .keepAcceptor(let acceptor): disks[index].acceptor = acceptor.encoded()
            case .keepBlock(let block, _):
                disks[index].blocks.append(block.encoded())
                let height = block.block.height
                if let other = finals[height], other != block.block.hash {
                    Issue.record("two final blocks at height \(height)")
                }
                finals[height] = block.block.hash
            case .ask(let target, let request, let id): ask(index, target, request, id)
            case .announce(let height):
                for other in honest where other != index {
                    send(from: index, to: other) { [self] in
                        let actions = nodes[other]!.announced(height, by: ids[index], now: clock(other))
                        perform(actions, other)
                    }
                }
            case .submitted(let id, let result): results[id] = result
            case .warn(let warning): warnings.append(warning)
            }
        }
        if isKilled { kill(index, for: UInt64.random(in: 0...5_000, using: &random)) }
    }

    /// Calls `deliver` when the message arrives; a lost message never does.
    func send(from index: Int, to other: Int, _ deliver: @escaping () -> Void) {
        guard conditions.side[index, default: 0] == conditions.side[other, default: 0],
            Int.random(in: 0..<100, using: &random) >= conditions.loss
        else { return }
        after(UInt64.random(in: 1...conditions.delay, using: &random)) { [self] in
            if nodes[other] != nil || isHostile(other) { deliver() }
        }
    }

    private func ask(_ index: Int, _ target: LedgerNode.Receiver, _ request: LedgerRequest, _ id: UInt64) {
        let life = lives[index]
        let other: Int
        switch target {
        case .node(let node): other = ids.firstIndex(of: node)!
        case .anyone(let avoided):
            let others = ids.indices.filter { $0 != index }
            let good = others.filter { !avoided.contains(ids[$0]) }
            other = (good.isEmpty ? others : good).randomElement(using: &random)!
        }
        func answer(_ body: [UInt8]?) {
            guard lives[index] == life, nodes[index] != nil else { return }
            let actions = nodes[index]!.answered(id, body, from: ids[other], now: clock(index))
            perform(actions, index)
        }
        var isAnswered = false
        after(2_000) {
            if !isAnswered { answer(nil) }
            isAnswered = true
        }
        send(from: index, to: other) { [self] in
            let (body, delay) =
                isHostile(other)
                ? cabal.answer(request, by: other, from: index, in: self) : (serve(request, other, from: index), 0)
            guard let body else { return }
            after(delay) { [self] in
                send(from: other, to: index) {
                    if !isAnswered { answer(body) }
                    isAnswered = true
                }
            }
        }
    }

    /// A node's answer; nil if the node refuses, or was killed before it answered.
    func serve(_ request: LedgerRequest, _ other: Int, from index: Int) -> [UInt8]? {
        switch request {
        case .blocks(let above):
            return FinalBlock.encodeList(Array(disks[other].blocks.dropFirst(Int(above)).prefix(10)))
        case .final(let block):
            let actions = nodes[other]!.received(block, from: ids[index], now: clock(other))
            perform(actions, other)
            return []
        case .submit(let operation): return nodes[other]!.received(operation, now: clock(other))?.encoded()
        case .authority(let request):
            let life = lives[other]
            guard let (actions, answer) = nodes[other]!.received(request, from: ids[index], now: clock(other)) else {
                return nil
            }
            record(answer, to: request, by: other)
            perform(actions, other)
            return lives[other] == life ? answer.encoded() : nil
        }
    }

    /// Each refused block may have cost a check: records an issue if a slot has a second one, or one that is long over.
    private func record(_ answer: AuthorityAnswer, to request: AuthorityRequest, by index: Int) {
        guard case .propose = request, case .refused(.badBlock, _) = answer else { return }
        let refusal = Refusal(node: index, life: lives[index], height: request.height, slot: request.slot)
        let isFirst = refusals.insert(refusal).inserted
        if !isFirst || request.slot + 1 < realm.rules.slot(at: clock(index)) {
            Issue.record("authority \(index) checked one more block in slot \(request.slot)")
        }
    }

    // MARK: Operations

    /// Submits an operation at a node that is up.
    func submit(_ operation: RegistryOperation, at index: Int) -> UInt64 {
        let id = nextSubmission
        nextSubmission += 1
        if nodes[index] != nil {
            let actions = nodes[index]!.submit(operation, id: id, now: clock(index))
            perform(actions, index)
        }
        return id
    }

    /// The height of all nodes that are up; nil if their chains differ.
    var agreedHeight: UInt64? {
        let chains = nodes.compactMap { $0?.chain }
        guard let first = chains.first, chains.allSatisfy({ $0.head == first.head && $0.state == first.state }) else {
            return nil
        }
        return first.height
    }

    var height: UInt64 { nodes.compactMap { $0?.chain.height }.max() ?? 0 }
}
