internal import Directory
internal import OnionCrypto
internal import Wire

/// Six honest nodes, two clients and a hostile node that move from snapshot to snapshot.
///
/// Four to six of the honest nodes are staked, and so is the hostile one: less than a third of the voters. The network
/// delays, reorders and loses all messages. Clocks are wrong, registries late, disks full, and nodes end and start
/// again with what is left on their disks. The hostile node hears all signatures. It withholds its own or gives it to
/// some, forges snapshots, updates and signatures, repeats and spoils true ones, stalls, and goes away. The choices come
/// from outside: a seed, or a fuzzer's input.
///
/// A broken promise traps. No two honest parties trust different snapshots of a height. Each trusted snapshot follows a
/// trusted one, and more than two thirds of the voters of a snapshot before it have signed it. No node signs two
/// snapshots of a height, whatever its disk has lost. No honest answer is refused, and no honest node is taken for a
/// liar. Histories and queues keep their bounds. Once honest nodes hear each other, all have the newest snapshot within
/// ``recoveryEpochs``, with the hostile node away, and lead each client there.
///
/// It has more members than most types: the parties, the registry, and the book of what was signed and trusted.
public final class SnapshotModel {
    /// What was reached, so that a test can tell that it tried something.
    public struct Reached: Sendable {
        /// Snapshots that became trusted by signatures, and by updates.
        public var collected = 0, updates = 0
        /// Updates that were refused.
        public var refusals = 0
        /// Starts from a disk.
        public var restarts = 0
        /// Heights of which parties trusted a snapshot that others did not follow.
        public var forks = 0
        /// Hostile acts and answers.
        public var attacks = 0
        /// The most epochs until all honest nodes had the newest snapshot.
        public var slowest = 0
    }

    /// The number of honest nodes; the clients come after them, and then the hostile node.
    static let honestCount = 6
    static let clients = [6, 7]
    static let hostile = 8
    static let epoch: UInt64 = 3_600
    static let network = Bytes32(copying: [UInt8](repeating: 7, count: 32).rawSpan)
    static let start = UnixTime(seconds: 1_800_000_000)
    /// The most letters under way; above it the oldest is lost.
    private static let mailLimit = 96
    /// The epochs within which honest nodes that hear each other have the newest snapshot.
    public static let recoveryEpochs = 4

    private(set) var time = start
    private(set) var nodes: [SnapshotNode] = []
    private(set) var readers: [SnapshotReader] = []
    private var hostile: HostileSigner!
    let first: SignedSnapshot
    private let ids: [NodeID]
    /// The registry's snapshots; the first one is the network file's.
    private var registry: [Snapshot]
    private var lastChange = 0
    private var mail: [SnapshotLetter] = []
    /// All snapshots that honest nodes have proposed, those who signed each, and those that were trusted.
    private(set) var known: [Bytes32: Snapshot] = [:]
    private(set) var proposed: [Bytes32] = []
    private var signers: [Bytes32: Set<NodeID>] = [:]
    private var trusted: [UInt64: Bytes32] = [:]
    /// What was reached so far.
    public internal(set) var reached = Reached()

    /// A network with `voters` honest nodes (4 to 6) and the hostile one; with `isForgetful`, the first node's history has
    /// three steps.
    public init(voters: Int, isForgetful: Bool) {
        ids = (0...Self.hostile).map { number in
            var bytes = [UInt8](repeating: UInt8(number), count: 32)
            // The hostile node is neither the first nor the last of the voters.
            bytes[0] = UInt8(truncatingIfNeeded: (number + 1) * 45)
            return NodeID(Bytes32(copying: bytes.rawSpan))
        }
        let members = Array(0..<voters) + [Self.hostile]
        let entries = members.map { [ids] in
            Snapshot.Entry(node: ids[$0], operatorID: ids[$0].key, weight: 1_000, placement: UInt64($0))
        }
        guard let snapshot = Snapshot(network: Self.network, height: 1, time: Self.start, entries: entries) else {
            preconditionFailure("a snapshot")
        }
        var signed = SignedSnapshot(snapshot)
        for node in snapshot.voters { signed.add(.init(signer: node, bytes: Mock.sign(snapshot, as: node))) }
        first = signed
        registry = [snapshot]
        known[snapshot.digest] = snapshot
        trusted[1] = snapshot.digest
        do throws(SnapshotRefusal) {
            let chain = try SnapshotChain(network: Self.network, first: signed, check: Mock.check)
            nodes = (0..<Self.honestCount).map {
                var limits = SnapshotHistory.Limits()
                if isForgetful, $0 == 0 { limits.steps = 3 }
                return SnapshotNode(self, number: $0, id: ids[$0], chain: chain, limits: limits)
            }
            readers = Self.clients.map { SnapshotReader(self, number: $0, state: chain) }
        } catch { preconditionFailure("the first snapshot is refused: \(error)") }
        hostile = HostileSigner(self, id: hostileID)
    }

    var hostileID: NodeID { ids[Self.hostile] }
    func id(of number: Int) -> NodeID { ids[number] }
    func isHonest(_ number: Int) -> Bool { number != Self.hostile }

    // MARK: The registry

    /// The registry's newest snapshot at `time` that is above `height`; `late` is how many later ones it does not have.
    func registry(above height: UInt64, at time: UnixTime, late: UInt64) -> Snapshot? {
        guard time >= Self.start else { return nil }
        let newest = (time.seconds - Self.start.seconds) / Self.epoch + 1
        let wanted = min(newest - min(late, newest - 1), UInt64(registry.count))
        return wanted > height ? registry[Int(wanted) - 1] : nil
    }

    private var height: UInt64 { (time.seconds - Self.start.seconds) / Self.epoch + 1 }

    /// Makes the registry's snapshots up to the one after the present one, for clocks that are ahead.
    ///
    /// Voters change slowly, since the rule is about few changes while a fork lasts: one comes or goes in four epochs.
    private func grow(_ choose: (Int) -> Int) {
        while UInt64(registry.count) <= height {
            let last = registry[registry.count - 1]
            var entries = last.entries
            if registry.count >= lastChange + 4 {
                let before = entries
                change(&entries, choose)
                if before != entries { lastChange = registry.count }
            }
            let place = choose(entries.count)
            entries[place].weight = UInt32(1_000 + choose(3))
            if choose(8) == 0 { entries[place].placement ^= 1 }
            let names: UInt32 = choose(4) == 0 ? last.preface.namesCount + 1 : last.preface.namesCount
            let next = Snapshot(
                network: Self.network, height: last.height + 1,
                time: UnixTime(seconds: last.time.seconds + Self.epoch),
                preface: SnapshotPreface(namesRoot: Bytes32(), namesCount: names, extensionBytes: []) ?? last.preface,
                entries: entries)
            guard let next else { preconditionFailure("a registry's snapshot") }
            registry.append(next)
        }
    }

    private func change(_ entries: inout [Snapshot.Entry], _ choose: (Int) -> Int) {
        let kind = choose(6)
        guard kind < 3 else { return }
        let staked = entries.filter { $0.isStaked && $0.node != hostileID }.map(\.node)
        if kind != 1, staked.count > 4 || kind == 2 {
            let gone = staked[choose(staked.count)]
            if choose(2) == 0 {
                entries.removeAll { $0.node == gone }
            } else {
                for place in entries.indices where entries[place].node == gone { entries[place].state = .suspended }
            }
            guard kind == 2 else { return }
        }
        let others = ids[..<Self.honestCount].filter { !staked.contains($0) }
        guard !others.isEmpty else { return }
        let node = others[choose(others.count)]
        entries.removeAll { $0.node == node }
        entries.append(Snapshot.Entry(node: node, operatorID: node.key, weight: 1_000, placement: 0))
        entries.sort { $0.node < $1.node }
    }

    // MARK: The book

    func knows(_ snapshot: Snapshot, _ digest: Bytes32) {
        guard known.updateValue(snapshot, forKey: digest) == nil else { return }
        proposed.append(digest)
    }

    func signs(_ digest: Bytes32, _ node: NodeID) {
        guard let snapshot = known[digest] else { preconditionFailure("a signature for a snapshot of no registry") }
        precondition(trusted.values.contains(snapshot.previous), "a signature after a snapshot that nobody trusts")
        signers[digest, default: []].insert(node)
        hostile.hears(digest, node)
    }

    /// Those who can have signed the snapshot with `digest`.
    func signed(_ digest: Bytes32) -> Set<NodeID> { signers[digest] ?? [] }

    /// Checks the trusted snapshot of `chain`.
    func trusts(_ chain: SnapshotChain) {
        let (snapshot, digest) = (chain.snapshot, chain.digest)
        if let other = trusted[snapshot.height] {
            precondition(other == digest, "two trusted snapshots of one height")
            return
        }
        precondition(known[digest] == snapshot, "a trusted snapshot that no registry has")
        precondition(trusted.values.contains(snapshot.previous), "a trusted snapshot after one that nobody trusts")
        if let before = known[snapshot.previous]?.height, trusted.keys.contains(where: { $0 > before }) {
            reached.forks += 1
        }
        trusted[snapshot.height] = digest
        // An update may begin at a snapshot further back, whose voters then have signed this one.
        let voices = signed(digest).union([hostileID])
        var before = known[snapshot.previous]
        while let base = before {
            if base.voters.count(where: voices.contains) >= SnapshotChain.quorum(of: base) { return }
            before = known[base.previous]
        }
        preconditionFailure("a trusted snapshot without signatures of more than two thirds")
    }

    // MARK: Letters

    /// The two nodes to which a node brings news, one of them perhaps the hostile one.
    func neighbours(of number: Int) -> [Int] {
        let all = Array(nodes.indices) + [Self.hostile]
        let place = all.firstIndex(of: number) ?? 0
        return [1, 2].map { all[(place + $0) % all.count] }
    }

    func send(_ content: SnapshotLetter.Content, from: Int, to: Int) {
        if mail.count >= Self.mailLimit { mail.removeFirst() }
        mail.append(SnapshotLetter(from: from, to: to, content: content))
    }

    private func deliver(_ letter: SnapshotLetter, _ choose: (Int) -> Int) {
        guard letter.to != Self.hostile else { return hostile.receive(letter, choose) }
        let node = letter.to < nodes.count ? nodes[letter.to] : nil
        switch letter.content {
        case .signatures(_, let digest, let items), .gotSignatures(let digest, let items):
            node?.take(items, for: digest, from: letter.from)
            if choose(4) > 0 { node?.beginSignatures() }
            if choose(4) > 0 { node?.endSignatures() }
        case .getSignatures(let digest, let bitmap):
            guard let items = node?.answerSignatures(digest, bitmap) else { return }
            send(.gotSignatures(digest: digest, items: items), from: letter.to, to: letter.from)
        case .getSnapshot(let question):
            guard let body = node?.answer(question.place) else { return }
            if !body.isEmpty { hostile.hears(body) }
            send(.gotSnapshot(question, body: body), from: letter.to, to: letter.from)
        case .getID(let question):
            guard let body = node?.answerID(question.place.height) else { return }
            send(.gotID(question, body: body), from: letter.to, to: letter.from)
        case .gotSnapshot(let question, let body):
            if let node {
                node.got(body, to: question, from: letter.from)
                if choose(4) > 0 { node.endCheck() }
            } else {
                let reader = readers[letter.to - nodes.count]
                reader.got(body, to: question, from: letter.from)
                if choose(4) > 0 { reader.endCheck() }
            }
        case .gotID(let question, let body):
            if let node {
                node.gotID(body, to: question, from: letter.from)
            } else {
                readers[letter.to - nodes.count].gotID(body, to: question, from: letter.from)
            }
        }
    }

    // MARK: Steps

    /// One step; `choose` gives a number below its argument.
    public func step(_ choose: (Int) -> Int) {
        let kind = choose(20)
        switch kind {
        case 0, 1: pass(UInt64(1 + choose(24)) * 150, choose)
        case 2, 3, 4: nodes[choose(nodes.count)].tick(canWrite: choose(8) > 0)
        case 5: for node in nodes { node.tick() }
        case 6: nodes[choose(nodes.count)].pull(choose(Self.hostile + 1))
        case 7: for node in nodes { node.pull((node.number + 1 + choose(5)) % nodes.count) }
        case 8: nodes[choose(nodes.count)].ask(peer(choose))
        case 9: readers[choose(2)].ask(peer(choose))
        case 10, 11: if !mail.isEmpty { deliver(mail.remove(at: choose(mail.count)), choose) }
        case 12: for _ in 0..<min(choose(32), mail.count) { deliver(mail.removeFirst(), choose) }
        case 13: if !mail.isEmpty { mail.remove(at: choose(mail.count)) }
        case 14: work(choose(nodes.count + 2))
        case 15: disturb(choose)
        default: hostile.attack(choose)
        }
        for node in nodes { node.check() }
    }

    private func peer(_ choose: (Int) -> Int) -> Int {
        let place = choose(nodes.count + 2)
        return place < nodes.count ? place : Self.hostile
    }

    private func pass(_ seconds: UInt64, _ choose: (Int) -> Int) {
        time.seconds += seconds
        grow(choose)
    }

    private func work(_ party: Int) {
        guard party < nodes.count else { return readers[party - nodes.count].endCheck() }
        nodes[party].endSignatures()
        nodes[party].beginSignatures()
        nodes[party].endCheck()
    }

    private func disturb(_ choose: (Int) -> Int) {
        let party = choose(nodes.count + 2)
        guard party < nodes.count else { return readers[party - nodes.count].restart() }
        switch choose(4) {
        case 0: nodes[party].clockError = Int64(choose(41) - 20) * 75
        case 1: nodes[party].lateness = UInt64(choose(3))
        default:
            reached.restarts += 1
            nodes[party].restart(undone: choose(6), old: choose(4), isOlder: choose(8) == 0)
        }
    }

    // MARK: The end

    /// Lets the hostile node go away, and honest nodes hear each other.
    public func finish() {
        mail = []
        for node in nodes {
            (node.clockError, node.lateness) = (0, 0)
            work(node.number)
        }
        for reader in readers { reader.endCheck() }
        hostile.goAway()
        var epochs = 0
        repeat {
            if nodes.contains(where: isStranded) { return }
            precondition(epochs < Self.recoveryEpochs, "honest nodes do not come to the newest snapshot")
            epochs += 1
            let next = Self.start.seconds + height * Self.epoch
            for seconds in [10, Self.epoch / 4 + 20] {
                time.seconds = next + seconds
                grow { _ in 3 }
                exchange()
            }
        } while nodes.contains { $0.chain.snapshot.height != height }
        reached.slowest = max(reached.slowest, epochs)
        for reader in readers {
            for node in nodes where reader.chain.digest != nodes[0].chain.digest {
                reader.ask(node.number)
                drain()
            }
            precondition(reader.chain.digest == nodes[0].chain.digest, "honest nodes do not lead a client on")
        }
    }

    /// Whether a node refuses the others' snapshots because of a higher one, whose signatures it has lost, and which no
    /// other node has.
    ///
    /// This is a known limit: it takes two snapshots that led nowhere, a loss of the file with the history, and a
    /// database of a build that kept no update.
    private func isStranded(_ node: SnapshotNode) -> Bool {
        guard node.lacksUpdate else { return false }
        let mark = node.chain.highWaterMark
        let newest = nodes.map(\.chain.snapshot.height).max() ?? 0
        return node.chain.snapshot.height < newest && newest < mark.height
            && !nodes.contains { $0.state.history.digest(at: mark.height) == mark.digest }
    }

    /// Each honest node does its work, and hears each other one.
    private func exchange() {
        for node in nodes { node.tick() }
        drain()
        for shift in 1..<nodes.count {
            for node in nodes { node.pull((node.number + shift) % nodes.count) }
            drain()
            for node in nodes { node.ask((node.number + shift) % nodes.count) }
            drain()
        }
        for node in nodes { node.tick() }
        drain()
        for node in nodes { node.pull((node.number + 1) % nodes.count) }
        drain()
        for node in nodes { node.check() }
    }

    private func drain() { while !mail.isEmpty { deliver(mail.removeFirst()) { $0 - 1 } } }
}
