import Directory
import DirectoryModel
import SeededRandom
import Wire

#if canImport(Glibc)
    import Glibc
#endif

/// A number from the environment, for runs of full size.
func setting(_ name: String, _ usual: Int) -> Int {
    guard let text = unsafe getenv(name) else { return usual }
    return unsafe Int(String(cString: text)) ?? usual
}

/// A network of staked nodes that come and go, some of them hostile, in simulated time.
struct SnapshotWorld {
    static let epoch: UInt64 = 3_600
    private(set) var random: SeededGenerator
    /// The staked nodes, and whether each is hostile.
    private(set) var nodes: [(node: NodeID, isHostile: Bool)] = []
    private var made: UInt64 = 0
    private let hostileShare: Double
    private(set) var height: UInt64 = 1
    private(set) var time = now
    /// The state of all honest nodes: one for all, because they exchange everything.
    var honest: SnapshotSigning
    /// Every final snapshot, by height.
    private(set) var final: [UInt64: Bytes32] = [:]
    /// All hostile nodes so far; they sign anything at any time.
    private(set) var hostile: Set<NodeID> = []
    let first: SignedSnapshot

    init(nodes count: Int, hostile share: Double, seed: UInt64) throws {
        random = SeededGenerator(seed: seed)
        hostileShare = share
        var list: [(node: NodeID, isHostile: Bool)] = []
        for number in 0..<count {
            // Always less than a third of the nodes.
            let isHostile =
                Double(list.count(where: \.isHostile) + 1) <= min(share * Double(count), Double(count - 1) / 3)
            list.append((NodeID(bytes32(4, UInt64(number))), isHostile))
        }
        made = UInt64(count)
        nodes = list
        hostile = Set(list.filter(\.isHostile).map(\.node))
        let snapshot = Self.snapshot(of: list, height: 1, time: now)
        var signed = SignedSnapshot(snapshot)
        let message = Mock.message(of: snapshot)
        for (node, _) in list { signed.add(.init(signer: node, bytes: Mock.sign(message, as: node))) }
        first = signed
        honest = SnapshotSigning(try SnapshotChain(network: network, first: signed, check: Mock.check))
        final[1] = snapshot.digest
    }

    static func snapshot(
        of nodes: [(node: NodeID, isHostile: Bool)], height: UInt64, time: UnixTime
    ) -> Snapshot {
        let entries = nodes.enumerated().map { place, item in
            Snapshot.Entry(node: item.node, operatorID: item.node.key, weight: UInt32(1_000 + place % 7), placement: 0)
        }
        return Snapshot(network: network, height: height, time: time, entries: entries)!
    }

    /// A client that only has the network file.
    func client() throws -> SnapshotChain { try SnapshotChain(network: network, first: first, check: Mock.check) }

    /// One epoch: `turnover` of the nodes leave and as many join; then the honest nodes sign, each with the probability
    /// `reachable`.
    ///
    /// Returns the share of the trusted set that is honest, reachable and still staked.
    mutating func pass(turnover: Double, reachable: Double) -> Double {
        height += 1
        time.seconds += Self.epoch
        let voters = Set(honest.snapshot.voters)
        for _ in 0..<Int(Double(nodes.count) * turnover) {
            nodes.remove(at: Int.random(in: 0..<nodes.count, using: &random))
        }
        let wanted = voters.count
        while nodes.count < wanted {
            let isHostile =
                Double(nodes.count(where: \.isHostile) + 1)
                <= min(
                    hostileShare * Double(wanted), Double(wanted - 1) / 3)
            let node = NodeID(bytes32(4, made))
            made += 1
            nodes.append((node, isHostile))
            if isHostile { hostile.insert(node) }
        }
        let registry = Self.snapshot(of: nodes, height: height, time: time)
        _ = honest.propose(registry, at: time)
        guard let next = honest.next else { return 0 }
        let message = Mock.message(of: next.snapshot)
        var items: [SnapshotSignatures.Item] = []
        let staked = Set(nodes.map(\.node))
        var good = 0
        for (place, node) in next.voters.enumerated() where !hostile.contains(node) {
            guard Double.random(in: 0..<1, using: &random) < reachable else { continue }
            items.append(SnapshotSignatures.Item(place: place, bytes: Mock.sign(message, as: node)))
            if staked.contains(node) { good += 1 }
        }
        if honest.add(next.checked(items, Mock.check), for: next.digest, at: time).isFinal {
            final[height] = honest.chain.digest
        }
        return Double(good) / Double(next.voters.count)
    }

    // MARK: What hostile nodes answer

    /// A registry that helps hostile nodes: only themselves, or the true one with some nodes missing and false ones
    /// added.
    mutating func forged(for client: SnapshotChain) -> SnapshotUpdate {
        let base = client.snapshot
        var list = Bool.random(using: &random) ? base.entries.filter { hostile.contains($0.node) } : base.entries
        list.removeLast(min(list.count, list.count / 10))
        list += (0..<5).map { _ in
            made += 1
            return Snapshot.Entry(node: NodeID(bytes32(5, made)), operatorID: bytes32(6, made), weight: 9, placement: 0)
        }
        let height = base.height + UInt64.random(in: 1...3, using: &random)
        let snapshot = Snapshot(
            network: network, height: height, time: time, entries: list)!.following(client.digest)
        let message = Mock.message(of: snapshot)
        var votes = base.voters.enumerated().filter { hostile.contains($0.element) }.map {
            SnapshotUpdate.Vote(number: $0.offset, header: 0, signature: Mock.sign(message, as: $0.element))
        }
        switch Int.random(in: 0..<4, using: &random) {
        case 0:
            // Each vote twice.
            votes = votes.flatMap { [$0, $0] }
        case 1:
            // Signatures of other nodes, made by hostile ones.
            votes = base.voters.indices.map {
                SnapshotUpdate.Vote(
                    number: $0, header: 0,
                    signature: Mock.sign(message, as: hostile.randomElement(using: &random) ?? base.voters[0]))
            }
        case 2:
            // Valid signatures of another snapshot.
            if let trueOnes = honest.history.update(from: base.height, digest: client.digest) {
                votes = trueOnes.votes.filter { $0.number < base.voters.count }.map {
                    SnapshotUpdate.Vote(number: $0.number, header: 0, signature: $0.signature)
                }
            }
        default: break
        }
        return SnapshotUpdate(
            base: base.height, headers: [snapshot.header], voterChanges: [], votes: votes,
            preface: snapshot.preface, entries: .whole(snapshot.entries))
    }

    /// A true update with a part removed or changed.
    mutating func spoiled(_ update: SnapshotUpdate) -> SnapshotUpdate {
        var changed = update
        switch Int.random(in: 0..<6, using: &random) {
        case 0: changed.votes.removeLast(changed.votes.count / 3)
        case 1: changed.headers.removeFirst()
        case 2: changed.voterChanges = []
        case 3: changed.base = 1
        case 4: changed.preface = SnapshotPreface(namesRoot: bytes32(8, 8), namesCount: 1, extensionBytes: [])!
        default:
            if case .whole(var entries) = changed.entries, !entries.isEmpty {
                if Bool.random(using: &random) {
                    entries[0].operatorID = bytes32(8, 8)
                } else {
                    entries[0].placement ^= 1
                }
                changed.entries = .whole(entries)
            } else {
                changed.entries = .difference(removed: [0], changed: [], added: [])
            }
        }
        return changed
    }
}
