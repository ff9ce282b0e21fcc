internal import Directory
internal import Wire

/// An honest node: it signs its registry's snapshots, collects signatures, and leads others.
///
/// It does with ``SnapshotSigning`` and ``SignatureInbox`` what a relay's `Epochs` and `SignatureExchange` do. It has
/// more members than most types: what a node has in memory, on its disk, and in the hands of another thread.
final class SnapshotNode: SnapshotFollower<SnapshotSigning> {
    /// What the database holds.
    private struct Database {
        var trusted: SignedSnapshot?
        var mark: SnapshotChain.HighWaterMark?
        var earlier: [UInt8]?
        var update: [UInt8]?
        var signed: [UInt8]?
    }

    let id: NodeID
    private let limits: SnapshotHistory.Limits
    /// Whether its history surely has ``limits``; one that begins anew has others.
    private var isLimited = true
    /// By how many snapshots its registry is late.
    var lateness: UInt64 = 0
    private(set) var inbox = SignatureInbox()
    /// The signatures that another thread has checked.
    private var checked: (digest: Bytes32, good: [SignatureItem], liars: Set<NodeID>)?
    /// What was written, the newest last; a loss of power can undo all but the first.
    private var written: [Database] = [Database()]
    /// The histories of the last files, the newest last.
    private var files: [SnapshotHistory] = []
    /// Whether its database is of a build that kept no update.
    private(set) var lacksUpdate = false
    /// What it has signed, by height.
    private var signed: [UInt64: Bytes32] = [:]

    init(_ model: SnapshotModel, number: Int, id: NodeID, chain: SnapshotChain, limits: SnapshotHistory.Limits) {
        self.id = id
        self.limits = limits
        let history = SnapshotHistory(first: chain.first, digest: chain.firstDigest, limits: limits)
        super.init(model, number: number, state: SnapshotSigning(chain, history: history))
    }

    // MARK: Signing

    /// What a node does once a second.
    func tick(canWrite: Bool = true) {
        if let found = model.registry(above: state.height(at: time), at: time, late: lateness) {
            _ = state.propose(found, at: time)
        }
        note()
        if state.due(id, epoch: SnapshotModel.epoch, at: time) != nil { sign(canWrite) }
    }

    private func note() { if let next = state.next { model.knows(next.snapshot, next.digest) } }

    private struct DiskFull: Error {}

    private func sign(_ canWrite: Bool) {
        let item = try? state.sign(as: id) { due throws(DiskFull) in
            guard canWrite else { throw DiskFull() }
            var next = written[written.count - 1]
            next.signed = SnapshotSigning.encode(due)
            // What was written before is now on the disk for good.
            written = [next]
        } by: {
            Mock.sign($0, as: id)
        }
        guard let item, let mark = state.signed else { return }
        precondition(signed[mark.height] ?? mark.digest == mark.digest, "two signatures at one height")
        signed[mark.height] = mark.digest
        model.signs(mark.digest, id)
        add([item], for: mark.digest)
    }

    private func add(_ items: [SignatureItem], for digest: Bytes32) {
        let (new, isFinal) = state.add(items, for: digest, at: time)
        if isFinal {
            model.reached.collected += 1
            changed()
        }
        guard !new.isEmpty, let collection = state.collection(digest) else { return }
        let items = SnapshotSignatures.encode(new)
        for peer in model.neighbours(of: number) {
            model.send(
                .signatures(height: collection.height, digest: digest, items: items), from: number, to: peer)
        }
    }

    override func changed() {
        super.changed()
        inbox.forgive()
        note()
        save()
    }

    // MARK: Others' signatures

    func pull(_ peer: Int) {
        guard peer != number, let collection = state.next ?? state.last, !collection.isWhole else { return }
        model.send(.getSignatures(digest: collection.digest, bitmap: collection.bitmap), from: number, to: peer)
    }

    /// Takes items from a neighbour; they wait for their check.
    func take(_ items: [UInt8], for digest: Bytes32, from peer: Int) {
        var reader = ByteReader(items.rawSpan)
        guard let collection = state.collection(digest), let list = try? SnapshotSignatures.decode(from: &reader)
        else { return }
        let before = inbox.count
        inbox.put(list, from: model.id(of: peer), for: collection)
        precondition(inbox.count <= SignatureInbox.maximum, "signatures wait beyond the bound")
        precondition(inbox.count - before <= SignatureInbox.share, "signatures wait beyond a neighbour's share")
    }

    /// Gives what waits to the other thread.
    func beginSignatures() {
        while checked == nil, let digest = inbox.digest {
            guard let collection = state.collection(digest) else {
                inbox.drop(digest)
                continue
            }
            let items = inbox.take(for: collection)
            guard !items.isEmpty else { continue }
            let (good, liars) = collection.checked(items, Mock.check)
            checked = (digest, good, liars)
        }
    }

    func endSignatures() {
        guard let found = checked else { return }
        checked = nil
        let isNew = inbox.shun(found.liars)
        precondition(
            !isNew || inbox.liars.isSubset(of: [model.hostileID]), "an honest neighbour is taken for a liar")
        add(found.good, for: found.digest)
    }

    func answerSignatures(_ digest: Bytes32, _ bitmap: [UInt8]) -> [UInt8]? {
        state.collection(digest).map { SnapshotSignatures.encode($0.missing(in: bitmap, byteLimit: 66_000)) }
    }

    // MARK: Leading others

    func answer(_ place: SnapshotPlace) -> [UInt8] {
        guard place.height < chain.snapshot.height, state.history.digest(at: place.height) == place.digest else {
            return []
        }
        return state.history.update(from: place.height, digest: place.digest)?.encoded() ?? []
    }

    func answerID(_ height: UInt64) -> [UInt8] {
        SnapshotIDAnswer(
            newest: chain.snapshot.height, digest: chain.digest, same: state.history.digest(at: height), list: nil
        ).encoded()
    }

    func check() {
        let history = state.history
        precondition(history.digest == chain.digest, "a history that leads elsewhere")
        precondition(history.newest.height == chain.snapshot.height, "a history that ends elsewhere")
        precondition(history.count <= limits.steps || !isLimited, "a history beyond its bound")
        precondition(chain.highWaterMark.height >= chain.snapshot.height, "a mark below the trusted snapshot")
    }

    // MARK: Its disk

    private func save() {
        var next = written[written.count - 1]
        next.trusted = SignedSnapshot(chain.snapshot)
        next.mark = .init(height: chain.snapshot.height, digest: chain.digest)
        next.earlier = chain.earlier?.encoded()
        next.update = state.update?.encoded()
        precondition(next.update != nil, "a snapshot without its update")
        written.append(next)
        lacksUpdate = false
        files.append(state.history)
        if files.count > 3 { files.removeFirst() }
    }

    /// Ends the process and starts it again; `undone` writes of the database and `old` writes of the file are lost.
    ///
    /// With `isOlder` the database is of a build that kept no update.
    func restart(undone: Int, old: Int, isOlder: Bool) {
        written.removeLast(min(undone, written.count - 1))
        files.removeLast(min(old, files.count))
        var disk = written[written.count - 1]
        if isOlder { disk.update = nil }
        lacksUpdate = disk.update == nil
        written = [disk]
        isLimited = isLimited && undone == 0 && old == 0
        (running, checked, inbox) = (nil, nil, SignatureInbox())
        let (before, mark) = (state.signed, disk.mark)
        do {
            let chain = try SnapshotChain(
                network: SnapshotModel.network, first: model.first, kept: disk.trusted, mark: mark,
                earlier: disk.earlier.flatMap(SnapshotChain.Earlier.init(kept:)), check: Mock.check)
            let history = files.last.flatMap {
                SnapshotHistory(kept: $0.encoded(), first: chain.first, digest: chain.firstDigest, limits: limits)
            }
            precondition(files.isEmpty || history != nil, "its own history is unreadable")
            let empty = SnapshotHistory(first: chain.first, digest: chain.firstDigest, limits: limits)
            state = try SnapshotSigning(
                chain, history: history ?? empty, kept: disk.signed, update: disk.update, at: time, check: Mock.check)
            precondition(state.refusal == nil, "its own update is refused")
            precondition(disk.update == nil || state.chain.digest == chain.digest, "a node goes back with its update")
        } catch { preconditionFailure("its own disk is refused: \(error)") }
        precondition(state.signed == before, "a signature is forgotten")
        model.trusts(chain)
        note()
    }
}
