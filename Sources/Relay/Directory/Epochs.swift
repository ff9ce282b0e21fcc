internal import Directory
internal import EventLoop
internal import Link
internal import Links
internal import Logging
internal import OnionCrypto
internal import Store
internal import Wire

/// Moves this node from each snapshot to the next one, and brings other nodes to the newest.
///
/// It signs the snapshot of its registry, exchanges signatures with its neighbours, and answers questions for updates.
/// Signatures are checked and answers are encoded on other threads.
///
/// It has more members than most types because it connects other parts, which make the decisions.
final class Epochs: SignatureCollector {
    typealias Subject = Snapshot

    /// The longest wait for an answer.
    static let answerLimit = TimeSpan.seconds(60)

    private let links: Links
    private let neighbours: Neighbours
    private let network: NetworkFile
    private let node: NodeID
    private let identity: LinkIdentity
    private let registry: any RegistrySource
    private let store: Store?
    private let log: Logger
    private var signing: SnapshotSigning
    private lazy var exchange = SignatureExchange<Snapshot>(
        links: links, neighbours: neighbours, log: log, bring: .signatures, ask: .getSignatures, for: self)
    /// The objects that learn of each newer snapshot, in this order.
    private let followers: [any SnapshotFollower]
    private var isFollowing = false
    private var nextPull = Instant(nanoseconds: 0)
    private var nextQuestion = Instant(nanoseconds: 0)
    private var answers = SnapshotAnswers()
    private var isAnswering = false
    private var isSaving = false
    private var isSaveDue = false
    /// The neighbours that say that they have a newer snapshot but no update to it from any of this node's snapshots.
    private var unreachable: Set<LinkID> = []
    private var toldProblem: RegistryProblem?
    /// The reason why nothing was signed.
    private var signError: RegistryProblem?

    /// Continues from the snapshots of `signing`, which were kept in `store`.
    init(
        _ signing: SnapshotSigning, links: Links, neighbours: Neighbours, network: NetworkFile,
        identity: LinkIdentity, registry: any RegistrySource, followers: [any SnapshotFollower], store: Store?,
        log: Logger
    ) {
        self.signing = signing
        self.links = links
        self.neighbours = neighbours
        self.network = network
        self.identity = identity
        self.registry = registry
        self.followers = followers
        self.store = store
        self.log = log
        node = NodeID(identity.nodeID)
        if let refusal = signing.refusal {
            log.warning(
                "the kept signatures of the newest snapshot are refused, so this node goes back to an earlier one",
                metadata: ["reason": "\(refusal)"])
        }
    }

    /// The snapshots of `network` that `store` holds, among them the newest trusted one.
    ///
    /// A history that is missing or unreadable begins anew with the snapshot before the trusted one. Neighbours with
    /// older ones get their updates from other nodes.
    static func kept(of network: NetworkFile, in store: Store?, at time: UnixTime) throws -> SnapshotSigning {
        let kept = try store?.trustedSnapshot(of: network.id)
        let chain = try SnapshotChain(
            network, kept: kept?.bytes, mark: kept.map { .init(height: $0.height, digest: $0.digest) },
            earlier: try store?.value(SnapshotChain.Earlier.keptName))
        let history = store.flatMap { try? StateFile.read($0.path(of: Self.fileName)) }.flatMap {
            SnapshotHistory(kept: $0, first: chain.first, digest: chain.firstDigest)
        }
        do {
            return try SnapshotSigning(
                chain, history: history, kept: try store?.value(SnapshotSigning.keptName),
                update: try store?.value(SnapshotSigning.updateName), at: time)
        } catch is WireError {
            // Without a record of its last signature, this node might sign a second snapshot of that height.
            throw StoreError.damaged(path: store?.path(of: Store.fileName) ?? Store.fileName)
        }
    }

    private static let fileName = "snapshots.history"

    /// When a neighbour last answered that this node's snapshot is its newest one too.
    private(set) var isCurrentAt: Instant?

    private var now: Instant { links.now }
    /// The trusted snapshot.
    var snapshot: Snapshot { signing.snapshot }
    /// The digest of the trusted snapshot.
    var digest: Bytes32 { signing.chain.digest }
    /// The chain by which the snapshot is trusted.
    var chain: SnapshotChain { signing.chain }
    /// The problem with the registry; nil if there is none.
    var problem: RegistryProblem? {
        registry.problem.map { RegistryProblem.source(.init($0)) } ?? signError ?? staleness ?? gap
    }
    /// The number of signatures that the next snapshot has, and the number of its voters; nil if there is no next
    /// snapshot.
    var progress: (signed: Int, of: Int)? { signing.next.map { ($0.count, $0.voters.count) } }

    /// A tenth of an epoch, at least a second and at most a minute.
    private var pause: TimeSpan { .seconds(Int64(min(60, max(1, network.epochSeconds / 10)))) }

    // MARK: Once a second

    /// Follows the registry, signs snapshots that are due, and asks for missing signatures and snapshots.
    func tick() {
        let time = links.time
        tellProblem()
        if let found = registry.snapshot(above: signing.height(at: time), at: time) {
            _ = signing.propose(found.snapshot, at: time)
        }
        if signing.due(node, epoch: network.epochSeconds, at: time) != nil { sign() }
        if signing.next != nil, neighbours.up.count < SignatureExchange<Snapshot>.fanout { neighbours.connectToMore() }
        guard let peer = SecureRandom.element(of: neighbours.up.values) else { return }
        if now >= nextPull { pull() }
        if now >= nextQuestion { askForSnapshot(peer) }
    }

    private func tellProblem() {
        let problem = problem
        guard problem != toldProblem else { return }
        toldProblem = problem
        if let problem {
            log.warning("the registry: \(problem.text)")
        } else {
            log.info("the registry answers again")
        }
    }

    /// Signs the snapshot that is due, after the record of the signature is on disk.
    private func sign() {
        do throws(StoreError) {
            let item = try signing.sign(as: node) { due throws(StoreError) in
                try store?.setValue(SnapshotSigning.encode(due), for: SnapshotSigning.keptName, waiting: true)
            } by: {
                identity.signingKey.sign($0.rawSpan)
            }
            signError = nil
            if let item, let signed = signing.signed {
                exchange.spread(add([item], for: signed.digest), of: signed.digest)
            }
        } catch {
            signError = .unsigned(error)
        }
    }

    /// The problem if the newest snapshot is too old for any update; otherwise nil.
    private var staleness: RegistryProblem? {
        let chain = signing.chain
        guard chain.isStale(at: links.time, maximumAge: chain.longestTrust) else { return nil }
        return .stale(days: chain.longestTrust / 86_400)
    }

    /// The problem if most neighbours' histories do not reach back to this node's newest snapshot; otherwise nil.
    private var gap: RegistryProblem? {
        neighbours.areMost(unreachable) ? .unreachable(height: snapshot.height) : nil
    }

    func collection(_ digest: Bytes32) -> Signatures<Snapshot>? { signing.collection(digest) }

    func add(_ items: [SignatureItem], for digest: Bytes32) -> [SignatureItem] {
        let (new, isFinal) = signing.add(items, for: digest, at: links.time)
        if isFinal { changed() }
        return new
    }

    /// To be called when a newer snapshot has become the trusted one.
    private func changed() {
        answers.forget()
        unreachable = []
        exchange.forgive()
        let wasStaked = signing.last?.voters.contains(node) ?? false
        log.info("a new snapshot", metadata: ["height": "\(snapshot.height)", "nodes": "\(snapshot.stakedCount)"])
        if wasStaked, snapshot.entry(of: node) == nil {
            log.warning(
                "this node is not staked in the newest snapshot, which it has helped to sign; it may be stopped")
        }
        for follower in followers { follower.follow(snapshot, digest: digest) }
        save()
    }

    // MARK: Questions to neighbours

    /// Asks a neighbour for a newer snapshot at the next tick.
    func askSoon() { nextQuestion = now }

    /// Asks a neighbour for missing signatures: every few seconds while a next snapshot waits for them, otherwise after
    /// ``pause``.
    private func pull() {
        nextPull = now + (signing.next == nil ? pause : .seconds(Int64(min(3, max(1, network.epochSeconds / 10)))))
        if let collection = signing.next ?? signing.last { exchange.pull(collection) }
    }

    /// Asks a neighbour for an update from our snapshot to a newer one.
    private func askForSnapshot(_ peer: LinkID) {
        nextQuestion = now + pause
        guard !isFollowing else { return }
        let asked = SnapshotPlace(chain)
        links.request(on: peer, DirectoryMessage.getSnapshot, body: asked.body, timeout: Self.answerLimit) {
            [weak self] result in
            // If this node has a newer snapshot by now, the update is of no use; that is not the neighbour's fault.
            guard let self, case .success(let body) = result, digest == asked.digest else { return }
            if body.isEmpty { compare(with: peer) } else { follow(body, to: asked) }
        }
    }

    /// Asks a neighbour that has no update from this node's snapshot whether that is its newest one too.
    ///
    /// If it has a newer one, this node asks for an update from its snapshot before, or from the network file's: others
    /// may not have adopted its snapshot, or may not know its voters.
    private func compare(with peer: LinkID) {
        let (height, digest) = (snapshot.height, digest)
        var writer = ByteWriter(capacity: 8)
        writer.u64(height)
        links.request(on: peer, DirectoryMessage.getSnapshotID, body: writer.bytes, timeout: Self.answerLimit) {
            [weak self] result in
            guard let self, case .success(let body) = result, let answer = SnapshotIDAnswer(body),
                self.digest == digest
            else { return }
            if answer.newest == height, answer.digest == digest { isCurrentAt = now }
            guard answer.newest > height else { return }
            lead([.earlier, .first], peer)
        }
    }

    /// Asks a neighbour for an update to its newest snapshot from the first of `bases` that it knows.
    private func lead(_ bases: ArraySlice<SnapshotPlace.Base>, _ peer: LinkID) {
        guard let base = bases.first else {
            unreachable = unreachable.intersection(neighbours.up.values).union([peer])
            return
        }
        let rest = bases.dropFirst()
        guard let asked = SnapshotPlace(chain, at: base) else { return lead(rest, peer) }
        let digest = digest
        links.request(on: peer, DirectoryMessage.getSnapshot, body: asked.body, timeout: Self.answerLimit) {
            [weak self] result in
            guard let self, case .success(let body) = result, self.digest == digest else { return }
            if body.isEmpty { lead(rest, peer) } else { follow(body, to: asked) }
        }
    }

    /// Follows an update.
    ///
    /// Another thread checks it.
    private func follow(_ body: [UInt8], to asked: SnapshotPlace) {
        guard !isFollowing, let pursuit = SnapshotPursuit(body, to: asked, for: signing, at: links.time) else { return }
        isFollowing = true
        links.loop.work {
            pursuit.finding()
        } completion: { [weak self] finding in
            guard let self else { return }
            isFollowing = false
            switch pursuit.step(finding, present: signing) {
            case .advanced(let after):
                signing = after
                changed()
            case .repeated: follow(body, to: asked)
            case .nothing, .overtaken: break
            case .refused(let refusal):
                log.warning("a node offered a snapshot that is refused", metadata: ["reason": "\(refusal)"])
            }
        }
    }

    // MARK: Messages

    /// Takes signatures that a neighbour brings.
    func takeSignatures(_ body: [UInt8], from node: NodeID) {
        guard let unknown = exchange.take(body, from: node) else { return }
        if unknown.height > snapshot.height, now + pause > nextQuestion, nextQuestion > now + .seconds(1) {
            // The neighbour may know a snapshot that this node has missed.
            nextQuestion = now + .seconds(1)
        }
    }

    /// Answers GET_SIGNATURES.
    func answerSignatures(_ body: [UInt8], _ responder: ControlResponder) { exchange.answer(body, responder) }

    /// The answer to GET_SNAPSHOT_ID, which also names the certified `list` of descriptors; nil for a malformed body.
    func snapshotID(for body: [UInt8], list: (round: UInt64, digest: Bytes32)?) -> [UInt8]? {
        var reader = ByteReader(body.rawSpan)
        guard let height = try? reader.u64(), reader.remaining == 0 else { return nil }
        return SnapshotIDAnswer(
            newest: snapshot.height, digest: digest, same: signing.history.digest(at: height), list: list
        ).encoded()
    }

    /// Answers GET_SNAPSHOT.
    ///
    /// An answer that is not kept is encoded on another thread, one at a time. Each asker has a share of the waiting
    /// places.
    func answerSnapshot(_ body: [UInt8], _ responder: ControlResponder) {
        var reader = ByteReader(body.rawSpan)
        guard let height = try? reader.u64(), let digest = try? reader.bytes32(), reader.remaining == 0,
            let source = links.source(of: responder.link)
        else { return links.refuse(responder) }
        guard leadsOn(height, digest) else { return links.answer(responder, []) }
        if let answer = answers.answer(at: height) { return links.answer(responder, answer) }
        let question = SnapshotAnswers.Question(height: height, digest: digest, responder: responder)
        if let dropped = answers.add(question, from: Asker(source)) { links.refuse(dropped.responder) }
        answerNext()
    }

    /// Whether the history has this older snapshot, so that an update from it can be made.
    private func leadsOn(_ height: UInt64, _ digest: Bytes32) -> Bool {
        height < snapshot.height && signing.history.digest(at: height) == digest
    }

    private func answerNext() {
        while !isAnswering, let next = answers.next(isAnswering: links.isAnswering) {
            guard leadsOn(next.height, next.digest) else {
                links.answer(next.responder, [])
                continue
            }
            if let answer = answers.answer(at: next.height) {
                links.answer(next.responder, answer)
                continue
            }
            isAnswering = true
            let history = signing.history
            links.loop.work {
                let answer = history.update(from: next.height, digest: next.digest)?.encoded() ?? []
                return answer.count <= DirectoryMessage.getSnapshot.longestAnswer ? answer : []
            } completion: { [weak self] answer in
                guard let self else { return }
                isAnswering = false
                if history.digest == signing.history.digest { answers.keep(answer, at: next.height) }
                links.answer(next.responder, answer)
                answerNext()
            }
        }
    }

    // MARK: Store

    private func save() {
        // Together: the update proves the snapshot from the earlier one, if the history's file is lost.
        var values: [String: [UInt8]] = [:]
        values[SnapshotChain.Earlier.keptName] = chain.earlier?.encoded()
        values[SnapshotSigning.updateName] = signing.update?.encoded()
        do throws(StoreError) {
            try store?.setTrustedSnapshot(
                Store.TrustedSnapshot(
                    network: network.id, height: snapshot.height, digest: digest,
                    bytes: SignedSnapshot(snapshot).encoded()), with: values, waiting: false)
        } catch {
            log.warning("the newest snapshot cannot be kept", metadata: ["error": "\(error)"])
        }
        saveHistory()
    }

    /// Writes the history on another thread, one write at a time.
    private func saveHistory() {
        guard let path = store?.path(of: Self.fileName) else { return }
        guard !isSaving else {
            isSaveDue = true
            return
        }
        isSaving = true
        isSaveDue = false
        let history = signing.history
        links.loop.work { () -> StoreError? in
            do throws(StoreError) {
                try StateFile.write(history.encoded(), to: path)
                return nil
            } catch {
                return error
            }
        } completion: { [weak self] (error: StoreError?) in
            guard let self else { return }
            isSaving = false
            if let error { log.warning("the history of snapshots cannot be kept", metadata: ["error": "\(error)"]) }
            if isSaveDue { saveHistory() }
        }
    }

    /// Closes the exchange's timer.
    func close() { exchange.close() }
}
