import Directory
import DirectoryModel
import SeededRandom
import Wire

/// Nodes that agree on lists of descriptors in simulated time.
///
/// Some are hostile: they offer several lists, omit and invent descriptors, come late, and sign everything.
struct ListWorld {
    enum Message {
        case descriptor(SignedDescriptor)
        case signatures(Bytes32, UInt64, [SignatureItem])
    }

    struct Peer {
        let node: NodeID
        let isHostile: Bool
        var signing: ListSigning
        var store: DescriptorStore
        /// The proposals of a hostile node by digest, with the descriptors that it has for each.
        var offers: [Bytes32: (proposal: [UInt8], descriptors: [Bytes32: SignedDescriptor])] = [:]
        var hasProposed: UInt64 = 0
    }

    static let epoch: UInt64 = 240
    private(set) var random: SeededGenerator
    private(set) var peers: [Peer]
    private(set) var time: UnixTime
    private var mail: [(at: UInt64, from: Int, to: Int, message: Message)] = []
    private let loss: Double
    private let schedule = ListSchedule(epoch: Self.epoch)
    /// The certified digests by round, and the nodes of their descriptors.
    private(set) var certified: [UInt64: Set<Bytes32>] = [:]
    private(set) var listed: [UInt64: Set<NodeID>] = [:]
    /// The digests that honest nodes signed, by round and node.
    private(set) var votes: [UInt64: [NodeID: Set<Bytes32>]] = [:]
    /// The times at which each honest node published.
    private(set) var published: [NodeID: [UInt64]] = [:]
    let snapshot: Snapshot

    init(nodes count: Int, hostile: Int, loss: Double, seed: UInt64) {
        random = SeededGenerator(seed: seed)
        self.loss = loss
        // In the middle of a cycle.
        time = UnixTime(seconds: now.seconds / Self.epoch * Self.epoch + Self.epoch)
        let ids = (0..<count).map { NodeID(bytes32(4, UInt64($0))) }
        snapshot = Snapshot(
            network: network, height: 7, time: time,
            entries: ids.map { Snapshot.Entry(node: $0, operatorID: $0.key, weight: 1, placement: 0) })!
        let (snapshot, schedule) = (snapshot, schedule)
        peers = ids.enumerated().map { number, node in
            Peer(
                node: node, isHostile: number < hostile,
                signing: ListSigning(network: network, schedule: schedule, snapshot: snapshot, digest: snapshot.digest),
                store: DescriptorStore(network: network, allowsPrivateAddresses: false, snapshot: snapshot))
        }
        for place in peers.indices { publish(place) }
    }

    private func made(_ node: NodeID, at time: UInt64, mark: UInt8) -> SignedDescriptor {
        var value = descriptor(of: node, at: UnixTime(seconds: time))
        value.onionKey = [UInt8](repeating: mark, count: Descriptor.onionKeySize)
        return SignedDescriptor(value, signature: [UInt8](repeating: mark, count: 64))
    }

    private mutating func publish(_ place: Int) {
        let node = peers[place].node
        if peers[place].isHostile {
            // A different version for each node: with the same or another time, sometimes in the future.
            for to in peers.indices where to != place {
                let skew = UInt64.random(in: 0...3, using: &random) * 300
                send(
                    .descriptor(made(node, at: time.seconds - 1 + skew, mark: UInt8(truncatingIfNeeded: to))),
                    from: place, to: to)
            }
        } else {
            published[node, default: []].append(time.seconds)
            let own = made(node, at: time.seconds, mark: UInt8.random(in: 0...255, using: &random))
            learn(own, at: place)
        }
    }

    private mutating func send(_ message: Message, from: Int, to: Int) {
        guard Double.random(in: 0..<1, using: &random) >= loss else { return }
        mail.append((time.seconds + 1, from, to, message))
    }

    private mutating func learn(_ signed: SignedDescriptor, at place: Int) {
        guard peers[place].store.insert(authentic: signed, at: time) else { return }
        for _ in 0..<6 { send(.descriptor(signed), from: place, to: Int.random(in: peers.indices, using: &random)) }
    }

    private mutating func spread(_ items: [SignatureItem], of digest: Bytes32, round: UInt64, from place: Int) {
        guard !items.isEmpty else { return }
        for _ in 0..<4 {
            send(
                .signatures(digest, round, items), from: place, to: Int.random(in: peers.indices, using: &random))
        }
    }

    /// Advances by one second.
    mutating func tick() {
        time.seconds += 1
        let due = mail.filter { $0.at <= time.seconds }
        mail.removeAll { $0.at <= time.seconds }
        for letter in due { receive(letter.message, from: letter.from, at: letter.to) }
        for place in peers.indices {
            peers[place].signing.advance(to: time)
            if Double.random(in: 0..<1, using: &random) < 0.004 { publish(place) }
            if peers[place].isHostile { misbehave(place) } else { behave(place) }
        }
    }

    private mutating func behave(_ place: Int) {
        let node = peers[place].node
        if peers[place].signing.isTurn(of: node, at: time),
            let digest = peers[place].signing.propose(
                peers[place].store, as: node, at: time, by: { Mock.sign($0, as: node) })
        {
            note(digest, of: place)
            let items = peers[place].signing.collection(digest)!.missing(in: [], byteLimit: .max)
            spread(items, of: digest, round: peers[place].signing.round, from: place)
        }
        signDue(place)
        // Asks a random node for missing signatures and for a newer certified list.
        guard time.seconds % 3 == UInt64(place % 3) else { return }
        let other = Int.random(in: peers.indices, using: &random)
        for mine in peers[place].signing.collections {
            guard let theirs = peers[other].signing.collection(mine.digest) else { continue }
            add(theirs.missing(in: mine.bitmap, byteLimit: 66_000), of: mine.digest, from: other, at: place)
        }
        if let theirs = peers[other].signing.certified,
            theirs.list.round > peers[place].signing.certified?.list.round ?? 0
        {
            let signed = theirs.signed(for: snapshot.voters)
            if let digest = try? ListSigning.check(
                signed, network: network, trusted: snapshot, digest: snapshot.digest, check: Mock.check)
            {
                peers[place].signing.take(checked: signed, digest: digest, descriptors: theirs.descriptors)
                noteCertified(place)
            }
        }
    }

    private mutating func signDue(_ place: Int) {
        let node = peers[place].node
        guard let digest = peers[place].signing.due(node, at: time),
            let item = peers[place].signing.sign(digest, as: node, by: { Mock.sign($0, as: node) })
        else { return }
        note(digest, of: place)
        add([item], of: digest, from: place, at: place)
    }

    private mutating func note(_ digest: Bytes32, of place: Int) {
        let round = peers[place].signing.collection(digest)!.height
        votes[round, default: [:]][peers[place].node, default: []].insert(digest)
    }

    private mutating func noteCertified(_ place: Int) {
        guard let found = peers[place].signing.certified else { return }
        certified[found.list.round, default: []].insert(found.digest)
        listed[found.list.round] = Set(found.descriptors.values.map(\.descriptor.node))
    }

    private mutating func add(_ items: [SignatureItem], of digest: Bytes32, from other: Int, at place: Int) {
        guard let collection = peers[place].signing.collection(digest) else { return }
        let good = collection.checked(collection.unknown(items), Mock.check)
        let (new, isNews) = peers[place].signing.add(good, for: digest)
        if isNews { noteCertified(place) }
        spread(new, of: digest, round: collection.height, from: place)
    }

    private mutating func receive(_ message: Message, from: Int, at place: Int) {
        guard !peers[place].isHostile else { return }
        switch message {
        case .descriptor(let signed): learn(signed, at: place)
        case .signatures(let digest, let round, let items):
            if peers[place].signing.wants(digest, round: round, from: peers[from].node) {
                let offer = peers[from].offers[digest]
                guard let proposal = offer?.proposal ?? peers[from].signing.proposal(digest) else { return }
                try? peers[place].signing.take(proposal, digest: digest, from: peers[from].node, check: Mock.check)
            }
            if let list = peers[place].signing.unjudged(digest) {
                let question = ListedQuestion(digest: digest, places: Array(list.hashes.indices))
                let theirs =
                    peers[from].offers[digest].map { $0.descriptors.sorted { $0.key < $1.key }.map(\.value) }
                    ?? peers[from].signing.listed(question, byteLimit: .max)
                var found = peers[place].store.byDigest
                for signed in theirs { found[signed.digest] = signed }
                found = found.filter { list.place(of: $0.key) != nil }
                guard found.count == list.hashes.count else {
                    if peers[from].isHostile { peers[place].signing.shun(peers[from].node) }
                    return
                }
                let isGood = (try? ListSigning.judge(list, found, by: peers[place].store, schedule, at: time)) != nil
                peers[place].signing.judged(digest, isGood ? found : nil)
                signDue(place)
            }
            add(items, of: digest, from: from, at: place)
        }
    }

    // MARK: Hostile nodes

    /// All hostile nodes sign every hostile proposal; a hostile proposer offers several lists, each to some nodes.
    private mutating func misbehave(_ place: Int) {
        let round = peers[place].signing.round
        let node = peers[place].node
        guard peers[place].hasProposed < round, proposer(of: round) == node else { return }
        peers[place].hasProposed = round
        let trick = Int.random(in: 0..<7, using: &random)
        for half in 0..<2 {
            var stock = peers[peers.indices.last!].store.listable(at: time)
            var receivers = peers.indices.filter { $0 % 2 == half }
            switch trick {
            case 0: break
            case 1: stock.removeValue(forKey: stock.keys.min()!)
            case 2:
                // A descriptor of an invented node.
                let stranger = made(NodeID(bytes32(8, round)), at: time.seconds, mark: 1)
                stock[stranger.digest] = stranger
            case 3:
                let twice = made(node, at: time.seconds - 50, mark: UInt8(half + 1))
                stock[twice.digest] = twice
            case 4:
                // Two good lists: the hostile nodes' versions differ from node to node.
                stock = peers[peers.indices.last! - half].store.listable(at: time)
            case 5:
                // One good list, for a third of the nodes.
                guard half == 0 else { return }
                receivers = peers.indices.filter { $0 % 3 == 0 }
            default: return
            }
            var hashes = stock.keys.sorted()
            if trick == 0, half == 1 { hashes.append(bytes32(5, round)) }
            let list = DescriptorList(round: round, height: 7, snapshot: snapshot.digest, hashes: hashes)!
            let message =
                [UInt8]("tunic descriptor list signature".utf8) + [0] + network.array + list.digest.array
            let proposal = ListProposal(signature: Mock.sign(message, as: node), list: list)
            let items = peers.indices.filter { peers[$0].isHostile }.map { hostile in
                SignatureItem(
                    place: snapshot.voters.firstIndex(of: peers[hostile].node)!,
                    bytes: Mock.sign(message, as: peers[hostile].node))
            }
            peers[place].offers[list.digest] = (proposal.encoded(), stock)
            for to in receivers { send(.signatures(list.digest, round, items), from: place, to: to) }
        }
    }

    private func proposer(of round: UInt64) -> NodeID {
        snapshot.voters[
            ListSchedule.proposer(of: round, snapshot: snapshot.digest, count: snapshot.stakedCount)]
    }

    /// Whether an honest node may propose in a round of `cycle`.
    func isHonest(_ cycle: UInt64) -> Bool {
        let first = cycle * UInt64(ListSchedule.maximumRounds)
        let drawn = (first..<first + UInt64(schedule.rounds)).map(proposer)
        return peers.contains { !$0.isHostile && drawn.contains($0.node) }
    }
}
