internal import Directory
internal import OnionCrypto
internal import Wire

/// Four honest nodes, a client and a hostile node that spread descriptors and agree on lists of them, with real keys.
///
/// The network delays, reorders and loses all messages. Clocks are wrong, disks full, and nodes start again with the
/// record of their signatures. The hostile node is one of the five voters. It publishes several versions at once, in the
/// future or too long, repeats and forges those of others, proposes several lists, signs everything, withholds what it
/// has announced, stalls, and goes away. The choices come from outside: a seed, or a fuzzer's input.
///
/// A broken promise traps. No round has two certified lists, and more than two thirds of the voters have signed each. No
/// node signs two lists of a round, or a list with a descriptor that nobody made. Nobody holds a descriptor that its
/// node did not make. The client uses what a list names, or what two honest nodes have. No honest node is taken for a
/// liar, and queues keep their bounds. With the hostile node away, a cycle in which an honest node may propose has a
/// list with each honest node's newest descriptor, at all nodes and at the client.
///
/// It has more members than most types: the parties, and the book of what was made, signed and certified.
public final class ListModel {
    /// What was reached, so that a test can tell that it tried something.
    public struct Reached: Sendable {
        /// Descriptors that an honest node took over from a neighbour.
        public var descriptors = 0
        /// Lists that honest nodes proposed, and proposals that they refused.
        public var proposals = 0, refusals = 0
        /// Rounds with a certified list.
        public var rounds = 0
        /// Hostile lists that were certified.
        public var hostileLists = 0
        /// Hostile acts and answers.
        public var attacks = 0
    }

    static let honestCount = 4
    static let hostile = 4
    static let network = Bytes32(copying: [UInt8](repeating: 7, count: 32).rawSpan)
    static let schedule = ListSchedule(epoch: 240)
    /// The most letters under way; above it the oldest is lost.
    private static let mailLimit = 128
    private static let ids = (0...hostile).map { NodeID(VerifiedSignatures.key($0).publicKey) }

    private(set) var time = UnixTime(seconds: 1_800_000_000 + 600)
    /// The seconds that have passed.
    private(set) var running: UInt64 = 1_000
    let snapshot: Snapshot
    let snapshotDigest: Bytes32
    private(set) var nodes: [ListNode] = []
    private var reader: ListReader!
    private var hostile: HostileLister!
    private var mail: [ListLetter] = []
    /// The descriptors that were made, by their digests, and the digests in their order.
    private(set) var made: [Bytes32: SignedDescriptor] = [:]
    private(set) var newest: [Bytes32] = []
    private var signers: [Bytes32: Set<Int>] = [:]
    private var certified: [UInt64: Bytes32] = [:]
    /// What was reached so far.
    public internal(set) var reached = Reached()

    /// Nodes of which each has a descriptor of its own.
    public init() {
        let entries = Self.ids.map { Snapshot.Entry(node: $0, operatorID: $0.key, weight: 1, placement: 0) }
        guard let snapshot = Snapshot(network: Self.network, height: 7, time: time, entries: entries) else {
            preconditionFailure("a snapshot")
        }
        self.snapshot = snapshot
        snapshotDigest = snapshot.digest
        nodes = (0..<Self.honestCount).map { ListNode(self, number: $0) }
        reader = ListReader(self)
        hostile = HostileLister(self)
        for node in nodes {
            node.tick()
            node.publish()
        }
    }

    var hostileID: NodeID { Self.ids[Self.hostile] }
    func id(of number: Int) -> NodeID { Self.ids[number] }
    func number(of node: NodeID) -> Int? { Self.ids.firstIndex(of: node) }
    /// The honest nodes but `number`, and the hostile one.
    func neighbours(of number: Int) -> [Int] { (1...Self.hostile).map { (number + $0) % Self.ids.count } }

    func sign(_ message: [UInt8], as number: Int) -> [UInt8] { VerifiedSignatures.key(number).sign(message.rawSpan) }

    /// A descriptor by a node's key.
    func descriptor(
        of number: Int, _ published: UnixTime, lifetime: UInt64 = DescriptorStore.lifetime,
        address: UInt32 = 0x0909_0909, mark: UInt8 = 1
    ) -> SignedDescriptor {
        let value = Descriptor(
            node: Self.ids[number], published: published, expires: UnixTime(seconds: published.seconds + lifetime),
            suites: .known, roles: [.exit], exit: [.tcp, .ipv4], bandwidth: 0,
            ipv4: Endpoint(address: IPAddress(v4: address), port: 1_090), ipv6: nil,
            onionKey: [UInt8](repeating: mark, count: Descriptor.onionKeySize), software: "tunic/1.0")
        let signed = value.signed(with: VerifiedSignatures.key(number), network: Self.network)
        let digest = signed.digest
        if made.updateValue(signed, forKey: digest) == nil { newest.append(digest) }
        return signed
    }

    // MARK: The book

    /// Checks a descriptor that an honest node has taken over.
    func accepts(_ signed: SignedDescriptor) {
        reached.descriptors += 1
        precondition(made[signed.digest] != nil, "a descriptor that its node did not make")
    }

    func signs(_ digest: Bytes32, _ number: Int) { signers[digest, default: []].insert(number) }
    func signed(_ digest: Bytes32) -> Set<Int> { signers[digest] ?? [] }

    /// Checks a list that party `number` takes for certified.
    func certifies(_ found: ListSigning.Certified, _ number: Int) {
        certifies(found.list, found.digest)
        for (hash, signed) in found.descriptors {
            precondition(signed.digest == hash && found.list.place(of: hash) != nil, "a descriptor that is not listed")
            precondition(made[hash] != nil, "a listed descriptor that its node did not make")
        }
    }

    func certifies(_ list: DescriptorList, _ digest: Bytes32) {
        precondition(certified[list.round] ?? digest == digest, "two certified lists of a round")
        precondition(
            signed(digest).count + 1 >= SnapshotChain.quorum(of: snapshot), "a list that too few nodes have signed")
        guard certified.updateValue(digest, forKey: list.round) == nil else { return }
        reached.rounds += 1
        if hostile.hasOffered(digest) { reached.hostileLists += 1 }
    }

    /// The certified list in `body`; nil if it is refused.
    static func checked(_ body: [UInt8], _ model: ListModel) -> (signed: SignedDescriptorList, digest: Bytes32)? {
        guard let signed = try? SignedDescriptorList(decoding: body.rawSpan) else { return nil }
        let digest = try? ListSigning.check(
            signed, network: network, trusted: model.snapshot, digest: model.snapshotDigest,
            check: VerifiedSignatures.check)
        return digest.map { (signed, $0) }
    }

    // MARK: Letters

    func send(_ content: ListLetter.Content, from: Int, to: Int) {
        guard from != to else { return }
        if mail.count >= Self.mailLimit { mail.removeFirst() }
        mail.append(ListLetter(from: from, to: to, content: content))
    }

    private func deliver(_ letter: ListLetter, _ choose: (Int) -> Int) {
        guard letter.to != Self.hostile else { return hostile.receive(letter, choose) }
        let (node, from) = (nodes[letter.to], letter.from)
        func answer(_ content: ListLetter.Content?) { if let content { send(content, from: node.number, to: from) } }
        switch letter.content {
        case .descriptors(let body), .gotDescriptors(let body): node.take(body, from: from)
        case .getDescriptors(let since): answer(.gotDescriptors(node.descriptors(since: since)))
        case .signatures(let round, let digest, let items): node.take(items, of: digest, round: round, from: from)
        case .gotSignatures(let digest, let items): node.take(items, of: digest, round: nil, from: from)
        case .getSignatures(let digest, let bitmap):
            answer(node.signatures(digest, without: bitmap).map { .gotSignatures(digest: digest, items: $0) })
        case .getProposal(let digest): answer(.gotProposal(digest, body: node.signing.proposal(digest) ?? []))
        case .gotProposal(let digest, let body): node.takeProposal(body, digest: digest, from: from)
        case .getListed(let question, let digest):
            answer(node.listed(question).map { .gotListed(digest: digest, body: $0) })
        case .gotListed(let digest, let body): node.takeListed(body, of: digest, from: from)
        case .getList(let round): answer(.gotList(node.list(above: round)))
        case .gotList(let body): if !body.isEmpty { node.takeList(body) }
        }
    }

    // MARK: Steps

    /// One step; `choose` gives a number below its argument.
    public func step(_ choose: (Int) -> Int) {
        switch choose(18) {
        case 0, 1, 2: pass(choose)
        case 3: nodes[choose(nodes.count)].publish()
        case 4: nodes[choose(nodes.count)].tick(canWrite: choose(4) > 0)
        case 5: nodes[choose(nodes.count)].pull(choose(Self.hostile + 1))
        case 6: nodes[choose(nodes.count)].askForList(choose(Self.hostile + 1))
        case 7:
            let since = UnixTime(seconds: time.seconds - UInt64(choose(3)) * 7_200)
            send(.getDescriptors(since: since), from: choose(nodes.count), to: choose(Self.hostile + 1))
        case 8, 9: if !mail.isEmpty { deliver(mail.remove(at: choose(mail.count)), choose) }
        case 10, 11: for _ in 0..<min(choose(64), mail.count) { deliver(mail.removeFirst(), choose) }
        case 12: if !mail.isEmpty { mail.remove(at: choose(mail.count)) }
        case 13: disturb(nodes[choose(nodes.count)], choose)
        case 14: visit(choose(Self.hostile + 1), choose)
        default: hostile.attack(choose)
        }
        for node in nodes { node.check() }
    }

    private func pass(_ choose: (Int) -> Int) {
        switch choose(16) {
        case 0: advance(UInt64(choose(256)) * 120)
        case 1, 2, 3:
            // To a round of the next cycle.
            let next = Self.schedule.start(at: time).seconds + Self.schedule.period
            advance(next - time.seconds + UInt64(choose(6)) * 10)
        default: advance(UInt64(1 + choose(20)))
        }
        for node in nodes { node.tick() }
    }

    private func advance(_ seconds: UInt64) {
        time.seconds += seconds
        running += seconds
    }

    private func disturb(_ node: ListNode, _ choose: (Int) -> Int) {
        if choose(2) == 0 { node.clockError = Int64(choose(21) - 10) * 50 } else { node.restart() }
    }

    /// The client asks a node for its list, for listed descriptors, and for all others.
    private func visit(_ peer: Int, _ choose: (Int) -> Int) {
        guard peer == Self.hostile else {
            return reader.visit(peer, nodes[peer].list) {
                nodes[peer].listed($0) ?? []
            } all: {
                nodes[peer].descriptors(since: UnixTime(seconds: 0))
            }
        }
        reader.visit(peer) { _ in
            hostile.list(choose)
        } listed: { _ in
            hostile.descriptors(choose)
        } all: {
            hostile.descriptors(choose)
        }
    }

    // MARK: The end

    /// Lets the hostile node go away; the next cycle in which an honest node may propose has a list.
    public func finish() {
        hostile.goAway()
        mail = []
        for node in nodes { node.clockError = 0 }
        // Until neighbours that were slow are asked again.
        advance(1_200)
        for node in nodes { node.tick() }
        for node in nodes { node.publish() }
        drain()
        while true {
            let start = Self.schedule.start(at: time).seconds + 2 * Self.schedule.period
            advance(start - Self.schedule.step - 20 - time.seconds)
            for node in nodes { node.tick() }
            exchange()
            advance(start - time.seconds)
            for node in nodes { node.tick() }
            if nodes.contains(where: { $0.signing.mayPropose($0.id) }) { break }
            drain()
        }
        let pause = Self.schedule.step / 2
        for shift in 0..<Self.schedule.step * UInt64(Self.schedule.rounds) / pause + 4 {
            advance(pause)
            for node in nodes { node.tick() }
            drain()
            for node in nodes { node.pull((node.number + 1 + Int(shift % 3)) % nodes.count) }
            drain()
        }
        for node in nodes { for peer in node.number + 1..<node.number + 4 { node.askForList(peer % nodes.count) } }
        drain()
        checkEnd()
    }

    private func checkEnd() {
        for node in nodes {
            guard let found = node.signing.certified, ListSchedule.cycle(of: found.list.round) == node.signing.cycle
            else { preconditionFailure("a cycle with an honest proposer has no list") }
            for other in nodes {
                let listed = found.descriptors.values.filter { $0.descriptor.node == other.id }
                precondition(
                    listed.map(\.descriptor.published) == [other.published], "a list leaves an honest node out")
            }
        }
        for node in nodes { visit(node.number) { _ in 0 } }
        for node in nodes { precondition(reader.uses(node.id, node.published), "a client does not use the list") }
    }

    private func exchange() {
        for node in nodes {
            for peer in nodes where peer !== node {
                send(.getDescriptors(since: UnixTime(seconds: 0)), from: node.number, to: peer.number)
            }
        }
        drain()
    }

    private func drain() {
        while !mail.isEmpty { deliver(mail.removeFirst()) { $0 - 1 } }
        for node in nodes { node.check() }
    }
}
