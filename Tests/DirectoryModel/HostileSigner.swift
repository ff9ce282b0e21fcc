internal import Directory
internal import Wire

/// The hostile node of ``SnapshotModel``, which is staked and knows all that was signed and answered.
final class HostileSigner {
    private unowned let model: SnapshotModel
    private let id: NodeID
    /// The answers of honest nodes that it heard last.
    private var bodies: [[UInt8]] = []
    /// The last honest signatures: the snapshots, and their signers.
    private var heard: [(digest: Bytes32, node: NodeID)] = []
    private var isStalled = false
    private var isGone = false

    init(_ model: SnapshotModel, id: NodeID) { (self.model, self.id) = (model, id) }

    func goAway() { isGone = true }

    func hears(_ body: [UInt8]) {
        if bodies.count >= 12 { bodies.removeFirst() }
        bodies.append(body)
    }

    func hears(_ digest: Bytes32, _ node: NodeID) {
        if heard.count >= 32 { heard.removeFirst() }
        heard.append((digest, node))
    }

    // MARK: Signatures

    /// One of the newest snapshots of honest nodes.
    private func snapshot(_ choose: (Int) -> Int) -> (digest: Bytes32, snapshot: Snapshot)? {
        let newest = model.proposed.suffix(8)
        guard !newest.isEmpty else { return nil }
        let digest = newest[newest.endIndex - 1 - choose(newest.count)]
        return model.known[digest].map { (digest, $0) }
    }

    private func items(_ nodes: some Sequence<NodeID>, for digest: Bytes32, _ snapshot: Snapshot) -> [SignatureItem] {
        let voters = model.known[snapshot.previous]?.voters ?? []
        let message = Mock.message(of: digest, height: snapshot.height, network: SnapshotModel.network)
        return nodes.compactMap { node in
            voters.firstIndex(of: node).map { SignatureItem(place: $0, bytes: Mock.sign(message, as: node)) }
        }
    }

    /// Right and wrong signatures of one of the newest snapshots.
    private func signatures(_ choose: (Int) -> Int) -> (height: UInt64, digest: Bytes32, items: [SignatureItem])? {
        guard let (digest, snapshot) = snapshot(choose) else { return nil }
        var items: [SignatureItem]
        switch choose(6) {
        case 0, 1, 2: items = self.items([id], for: digest, snapshot)
        case 3: items = self.items([id] + model.signed(digest).sorted(), for: digest, snapshot)
        case 4:
            // Signatures of another snapshot, or of another node.
            guard let (other, it) = self.snapshot(choose) else { return nil }
            items = self.items([id] + model.signed(other).sorted(), for: other, it)
            items = items.map { SignatureItem(place: ($0.place + choose(2)) % 8, bytes: $0.bytes) }
        default:
            let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: choose(256)), count: 64)
            items = [SignatureItem(place: choose(9), bytes: bytes)]
        }
        return (snapshot.height, digest, items)
    }

    // MARK: Acts

    /// One hostile act.
    func attack(_ choose: (Int) -> Int) {
        guard !isGone else { return }
        model.reached.attacks += 1
        let target = choose(SnapshotModel.honestCount)
        switch choose(8) {
        case 0: isStalled.toggle()
        case 1:
            // Many copies at once.
            guard let (_, digest, items) = signatures(choose) else { return }
            let body = SnapshotSignatures.encode(items)
            for _ in 0...choose(3) * 400 { model.nodes[target].take(body, for: digest, from: SnapshotModel.hostile) }
        case 2:
            // A snapshot of its own.
            guard let forged = forged(after: nil, choose) else { return }
            let items = self.items([id], for: forged.digest, forged)
            say(forged.height, forged.digest, items, to: target)
        default:
            guard let (height, digest, items) = signatures(choose) else { return }
            say(height, digest, items, to: target)
        }
    }

    private func say(_ height: UInt64, _ digest: Bytes32, _ items: [SignatureItem], to target: Int) {
        let body = SnapshotSignatures.encode(items)
        model.send(
            .signatures(height: height, digest: digest, items: body), from: SnapshotModel.hostile, to: target)
    }

    /// A letter to it, which it answers as it likes.
    func receive(_ letter: SnapshotLetter, _ choose: (Int) -> Int) {
        guard !isGone, !isStalled else { return }
        model.reached.attacks += 1
        switch letter.content {
        case .getSignatures(let asked, _):
            guard let (_, digest, items) = signatures(choose) else { return }
            let named = choose(3) > 0 ? asked : digest
            let body = SnapshotSignatures.encode(items)
            model.send(.gotSignatures(digest: named, items: body), from: SnapshotModel.hostile, to: letter.from)
        case .getSnapshot(let question):
            guard let body = answer(question, choose) else { return }
            model.send(.gotSnapshot(question, body: body), from: SnapshotModel.hostile, to: letter.from)
        case .getID(let question):
            let newest = question.place.height &+ UInt64(choose(3)) &- 1
            let body = SnapshotIDAnswer(newest: newest, digest: question.trusted, same: nil, list: nil).encoded()
            model.send(.gotID(question, body: body), from: SnapshotModel.hostile, to: letter.from)
        default: break
        }
    }

    // MARK: Updates

    private func answer(_ question: SnapshotQuestion, _ choose: (Int) -> Int) -> [UInt8]? {
        let node = model.nodes[choose(SnapshotModel.honestCount)]
        let history = node.state.history
        switch choose(9) {
        case 0: return nil
        case 1: return []
        case 2: return node.answer(question.place)
        case 3: return bodies.isEmpty ? [] : bodies[choose(bodies.count)]
        case 4:
            var body = bodies.isEmpty ? node.answer(question.place) : bodies[choose(bodies.count)]
            for _ in 0...choose(3) where !body.isEmpty {
                body[choose(256) * (1 + choose(4)) % body.count] ^= UInt8(1 << choose(8))
            }
            return body
        case 5:
            let update = history.update(from: question.place.height, digest: question.place.digest)
            return update.flatMap { spoiled($0, choose) }?.encoded()
        case 6: return forged(after: question.place, choose).flatMap { update(to: $0, from: question.place) }
        default:
            // Signatures that it has collected: more than any honest node may have.
            return snapshot(choose).flatMap { update(to: $0.snapshot, from: question.place) }
        }
    }

    /// A snapshot that no registry has, of the hostile node and some others.
    private func forged(after place: SnapshotPlace?, _ choose: (Int) -> Int) -> Snapshot? {
        guard let base = place.map({ model.known[$0.digest] }) ?? snapshot(choose)?.snapshot else { return nil }
        var entries = base.entries.filter { $0.node == id || choose(2) == 0 }
        if entries.isEmpty { entries = base.entries }
        entries[0].weight &+= 1
        return Snapshot(
            network: SnapshotModel.network, height: base.height + UInt64(1 + choose(3)), time: base.time,
            previous: place?.digest ?? base.previous, preface: base.preface, entries: entries)
    }

    /// An update from `place` to `target`, with its own signatures and all that honest nodes have made.
    private func update(to target: Snapshot, from place: SnapshotPlace) -> [UInt8]? {
        var path = [target]
        while let first = path.first, first.previous != place.digest, path.count < 12 {
            guard let before = model.known[first.previous], before.height > place.height else { return nil }
            path.insert(before, at: 0)
        }
        guard path[0].previous == place.digest, let base = model.known[place.digest] else { return nil }
        let digests = path.map(\.digest)
        var votes: [SnapshotUpdate.Vote] = []
        for (number, voter) in base.voters.enumerated() {
            let header = path.indices.last { voter == id || model.signed(digests[$0]).contains(voter) }
            guard let header else { continue }
            let message = Mock.message(
                of: digests[header], height: path[header].height, network: SnapshotModel.network)
            votes.append(.init(number: number, header: header, signature: Mock.sign(message, as: voter)))
        }
        votes.sort { ($0.header, $0.number) < ($1.header, $1.number) }
        return SnapshotUpdate(
            base: place.height, headers: path.map(\.header), voterChanges: [], votes: votes, preface: target.preface,
            entries: .whole(target.entries)
        ).encoded()
    }

    /// A true update with a part removed, doubled or changed; its votes still ascend.
    private func spoiled(_ update: SnapshotUpdate, _ choose: (Int) -> Int) -> SnapshotUpdate? {
        var changed = update
        switch choose(8) {
        case 0: changed.votes.removeLast(min(changed.votes.count, 1 + choose(3)))
        case 1: changed.headers.removeFirst()
        case 2: changed.voterChanges = []
        case 3: changed.base = 1
        case 4: changed.preface = SnapshotPreface(namesRoot: Bytes32(), namesCount: 99, extensionBytes: []) ?? .init()
        case 5:
            if !changed.voterChanges.isEmpty { changed.voterChanges.removeFirst() }
        case 6:
            // The hostile node's vote for a later snapshot than it has signed.
            for place in changed.votes.indices {
                let vote = changed.votes[place]
                changed.votes[place] = .init(
                    number: vote.number, header: changed.headers.count - 1, signature: vote.signature)
            }
            changed.votes.sort { $0.number < $1.number }
        default: changed.entries = .difference(removed: [], changed: [], added: [])
        }
        let isReadable = changed.votes.allSatisfy { $0.header < max(1, changed.headers.count) }
        return isReadable && !changed.headers.isEmpty ? changed : nil
    }
}
