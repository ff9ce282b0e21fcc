internal import Directory
internal import EventLoop
internal import Link
internal import Links
internal import Logging
internal import OnionCrypto
internal import Store
internal import Wire

/// Agrees with the other nodes on the descriptors that all clients use (protocol.md, section 10.9).
///
/// It proposes a list when this node is drawn, signs good lists, and serves the certified one. Lists are checked on
/// other threads. Their signatures have their own messages and queue, so that snapshots never wait for them.
///
/// It has more members than most types because it connects other parts; `ListSigning`, `ListCheck` and `ListFetches`
/// make the decisions.
final class Lists: SnapshotFollower, SignatureCollector {
    typealias Subject = DescriptorList

    /// The longest wait for an answer.
    static let answerLimit = TimeSpan.seconds(30)
    /// The longest answer to GET_LISTED, in bytes.
    static let answerBytes = 15 << 20
    /// How long a fetch of a list, or of descriptors, keeps its place if another neighbour needs one, in milliseconds.
    static let patience = (proposals: UInt64(5_000), descriptors: UInt64(15_000))

    private let links: Links
    private let network: NetworkFile
    private let node: NodeID
    private let identity: LinkIdentity
    private let store: Store?
    private let gossip: Gossip
    private let neighbours: Neighbours
    private let nodes: KnownNodes
    private let log: Logger
    private var signing: ListSigning
    private lazy var exchange = SignatureExchange<DescriptorList>(
        links: links, neighbours: neighbours, log: log, bring: .listSignatures, ask: .getListSignatures, for: self)
    private var snapshot: Snapshot
    private var snapshotDigest: Bytes32
    /// The neighbours from which proposals are being fetched, and those from which descriptors are.
    private var proposalFetches = ListFetches(patience: Lists.patience.proposals)
    private var descriptorFetches = ListFetches(patience: Lists.patience.descriptors)
    /// The candidates that are being judged on other threads.
    private var judging: Set<Bytes32> = []
    private var isChecking = false
    private var refreshedCycle: UInt64 = 0
    private var nextPull = Instant(nanoseconds: 0)
    private var nextQuestion = Instant(nanoseconds: 0)
    /// Questions for descriptors of lists that wait for their turn.
    private var listing = SharedQueue<(question: ListedQuestion, responder: ControlResponder)>(capacity: 256, most: 16)
    private var isListing = false
    private var answer = ListAnswer()

    /// The lists under the trusted `snapshot`.
    ///
    /// `store` holds the record of this node's signatures.
    init(
        links: Links, neighbours: Neighbours, network: NetworkFile, identity: LinkIdentity, gossip: Gossip,
        snapshot: Snapshot, digest: Bytes32, store: Store?, log: Logger
    ) throws {
        self.links = links
        self.neighbours = neighbours
        nodes = neighbours.nodes
        self.network = network
        self.identity = identity
        self.gossip = gossip
        self.store = store
        self.log = log
        self.snapshot = snapshot
        snapshotDigest = digest
        node = NodeID(identity.nodeID)
        signing = ListSigning(
            network: network.id, schedule: ListSchedule(epoch: network.epochSeconds), snapshot: snapshot,
            digest: digest, signed: try Self.signed(store))
    }

    private static let signedName = "signed descriptor list"

    private static func signed(_ store: Store?) throws -> ListSigning.Signed {
        guard let store, let bytes = try store.value(signedName) else { return ListSigning.Signed() }
        do throws(WireError) {
            return try ListSigning.Signed(decoding: bytes.rawSpan)
        } catch {
            // Without a record of its signatures, this node might sign a second list of that round.
            throw StoreError.damaged(path: store.path(of: Store.fileName))
        }
    }

    private var now: Instant { links.now }
    private var milliseconds: UInt64 { links.loop.now / 1_000_000 }
    /// The round and the digest of the certified list; nil if there is none.
    var certified: (round: UInt64, digest: Bytes32)? { signing.certified.map { ($0.list.round, $0.digest) } }

    /// Continues under a newer trusted snapshot.
    func follow(_ snapshot: Snapshot, digest: Bytes32) {
        self.snapshot = snapshot
        snapshotDigest = digest
        signing.follow(snapshot, digest: digest)
    }

    // MARK: Once a second

    /// Proposes or signs a list if one is due, and asks for missing signatures, lists and descriptors.
    func tick() {
        let time = links.time
        let before = signing.cycle
        signing.advance(to: time)
        if signing.cycle != before { exchange.forgive() }
        if refreshedCycle != signing.cycle, signing.mayPropose(node) {
            refreshedCycle = signing.cycle
            gossip.refreshSoon()
        }
        if signing.isTurn(of: node, at: time) { propose(at: time) }
        signDue()
        let period = signing.schedule.period
        if now >= nextPull {
            nextPull = now + .seconds(Int64(min(3, max(1, period / 10))))
            for collection in signing.collections where !signing.isDone { exchange.pull(collection) }
            for collection in signing.collections { judge(collection.digest) }
        }
        if now >= nextQuestion {
            nextQuestion = now + .seconds(Int64(min(60, max(1, period / 10))))
            askForList()
            fetchLacking()
            // Some of its signers may not be in the next snapshot.
            if let collection = signing.certifiedCollection { exchange.pull(collection) }
        }
    }

    /// Proposes the known descriptors, unless those of more than half of the staked nodes are missing.
    ///
    /// A node that has just started knows only its own.
    private func propose(at time: UnixTime) {
        let staked = nodes.snapshot.entries.filter(\.isStaked)
        let known = staked.count { nodes.descriptors.descriptor(of: $0.node, at: time) != nil }
        guard known * 2 >= staked.count else { return }
        // A copy of `signing` signs. The copy replaces `signing` only once the record is on disk, so no unrecorded
        // signature leaves this node.
        var after = signing
        let digest = after.propose(nodes.descriptors, as: node, at: time) {
            identity.signingKey.sign($0.rawSpan)
        }
        guard let digest, keep(after.signed) else { return }
        signing = after
        log.debug("a list of descriptors is proposed", metadata: ["round": "\(signing.round)"])
        exchange.spread(signing.collection(digest)?.missing(in: [], byteLimit: .max) ?? [], of: digest)
    }

    private func signDue() {
        guard let digest = signing.due(node, at: links.time) else { return }
        var after = signing
        guard let item = after.sign(digest, as: node, by: { identity.signingKey.sign($0.rawSpan) }), keep(after.signed)
        else { return }
        signing = after
        exchange.spread(add([item], for: digest), of: digest)
    }

    /// Writes the record of a signature.
    ///
    /// Returns false if that fails; then the signature must not leave this node.
    private func keep(_ signed: ListSigning.Signed) -> Bool {
        guard let store else { return true }
        do throws(StoreError) {
            try store.setValue(signed.encoded(), for: Self.signedName, waiting: true)
            return true
        } catch {
            log.warning("the signature of a list cannot be kept, so it is not given", metadata: ["error": "\(error)"])
            return false
        }
    }

    func collection(_ digest: Bytes32) -> Signatures<DescriptorList>? { signing.collection(digest) }

    func add(_ items: [SignatureItem], for digest: Bytes32) -> [SignatureItem] {
        let (new, isNews) = signing.add(items, for: digest)
        if isNews { changed() }
        // A neighbour that gets signatures of a list asks for the list, and counts this node as a liar if it has none.
        return signing.proposal(digest) == nil ? [] : new
    }

    private func changed() {
        guard let certified = signing.certified else { return }
        log.info(
            "a new list of descriptors",
            metadata: ["round": "\(certified.list.round)", "descriptors": "\(certified.list.hashes.count)"])
        nextQuestion = min(nextQuestion, now + .seconds(1))
    }

    // MARK: Proposals

    /// Takes signatures from a neighbour, and asks it for their list if that is unknown here.
    func takeSignatures(_ body: [UInt8], from peer: NodeID) {
        guard let unknown = exchange.take(body, from: peer),
            signing.wants(unknown.digest, round: unknown.height, from: peer), let link = neighbours.up[peer],
            proposalFetches.begin(peer, now: milliseconds)
        else { return }
        let (digest, cycle) = (unknown.digest, signing.cycle)
        links.request(on: link, DirectoryMessage.getProposal, body: digest.array, timeout: Self.answerLimit) {
            [weak self] result in
            guard let self else { return }
            let answer: [UInt8]? = if case .success(let body) = result { body } else { nil }
            proposalFetches.ended(peer, answered: answer != nil, now: milliseconds)
            guard cycle == signing.cycle else { return }
            guard let answer, !answer.isEmpty else { return signing.shun(peer) }
            do throws(ListRefusal) {
                try signing.take(answer, digest: digest, from: peer)
            } catch {
                return log.debug("a proposed list is refused", metadata: ["reason": "\(error)"])
            }
            judge(digest, asking: peer)
        }
    }

    /// Judges a candidate on another thread, and asks `peer` or any neighbour for its missing descriptors.
    ///
    /// Descriptors that a neighbour brings are kept until the rest has come. A neighbour that brings no useful one is
    /// not asked again.
    private func judge(_ digest: Bytes32, asking peer: NodeID? = nil, with fetched: [SignedDescriptor] = []) {
        guard let list = signing.unjudged(digest), !judging.contains(digest) else { return }
        judging.insert(digest)
        let (held, time) = (nodes.descriptors, links.time)
        let known = (signing.certified?.descriptors ?? [:]).merging(signing.collected(digest)) { first, _ in first }
        let (id, schedule) = (network.id, signing.schedule)
        links.loop.work {
            ListCheck.judged(list, fetched, known, by: held, schedule, network: id, at: time)
        } completion: { [weak self] outcome in
            guard let self else { return }
            judging.remove(digest)
            switch outcome {
            case .good(let descriptors):
                signing.judged(digest, descriptors)
                exchange.spread(signing.collection(digest)?.missing(in: [], byteLimit: .max) ?? [], of: digest)
                signDue()
                nextPull = min(nextPull, now)
            case .refused(let refusal):
                signing.judged(digest, nil)
                log.warning("a proposed list is not signed", metadata: ["reason": "\(refusal)"])
            case .lacks(let places, let fresh):
                signing.collect(fresh, for: digest)
                guard fetched.isEmpty else {
                    // It is no fault if another neighbour was the first to bring these descriptors.
                    if let peer, !fetched.contains(where: { list.place(of: $0.digest) != nil }) { signing.shun(peer) }
                    // Another neighbour is asked for the rest.
                    if !fresh.isEmpty { nextPull = min(nextPull, now) }
                    return
                }
                fetch(places, of: digest, from: peer) { [weak self] in self?.judge(digest, asking: $0, with: $1) }
            }
        }
    }

    /// Asks `peer`, or any neighbour, for descriptors of a list.
    ///
    /// `then` is called only if some come.
    private func fetch(
        _ places: [Int], of digest: Bytes32, from peer: NodeID?, then: @escaping (NodeID, [SignedDescriptor]) -> Void
    ) {
        let time = milliseconds
        let drawn =
            peer ?? SecureRandom.element(of: neighbours.up.keys.filter { descriptorFetches.admits($0, now: time) })
        guard !places.isEmpty, let peer = drawn, let link = neighbours.up[peer],
            descriptorFetches.begin(peer, now: time)
        else { return }
        let body = ListedQuestion(digest: digest, places: places).encoded()
        links.request(on: link, DirectoryMessage.getListed, body: body, timeout: Self.answerLimit) {
            [weak self, loop = links.loop] result in
            guard let self else { return }
            guard case .success(let body) = result else {
                descriptorFetches.ended(peer, answered: false, now: milliseconds)
                return
            }
            loop.work {
                (try? SignedDescriptor.decodeList(body.rawSpan)) ?? []
            } completion: { [weak self] list in
                guard let self else { return }
                descriptorFetches.ended(peer, answered: true, now: milliseconds)
                if !list.isEmpty { then(peer, list) }
            }
        }
    }

    // MARK: Certified lists

    /// Asks a neighbour for a newer certified list.
    private func askForList() {
        guard !isChecking, let (peer, link) = SecureRandom.element(of: neighbours.up) else { return }
        let round = signing.certified?.list.round ?? 0
        guard round < signing.round else { return }
        var writer = ByteWriter(capacity: 8)
        writer.u64(round)
        links.request(on: link, DirectoryMessage.getList, body: writer.bytes, timeout: Self.answerLimit) {
            [weak self] result in
            guard let self, case .success(let body) = result, !body.isEmpty else { return }
            check(body, from: peer)
        }
    }

    private func check(_ body: [UInt8], from peer: NodeID) {
        guard !isChecking else { return }
        isChecking = true
        let (held, known, trusted, digest, id) = (
            nodes.descriptors, signing.certified?.descriptors ?? [:], snapshot, snapshotDigest, network.id
        )
        links.loop.work {
            ListCheck.checked(body, known, by: held, trusted: trusted, digest: digest, network: id)
        } completion: { [weak self] found in
            guard let self else { return }
            isChecking = false
            // Under another snapshot, other signatures count. The list is asked for again.
            guard let found, digest == snapshotDigest else { return }
            if signing.take(checked: found.signed, digest: found.digest, descriptors: found.descriptors) {
                changed()
                fetchLacking(peer)
            }
        }
    }

    /// Asks for missing descriptors of the certified list, since clients will ask for them.
    private func fetchLacking(_ peer: NodeID? = nil) {
        guard let certified = signing.certified else { return }
        let (digest, list, held, id) = (certified.digest, certified.list, nodes.descriptors, network.id)
        fetch(signing.lacking, of: digest, from: peer) { [weak self, loop = links.loop] _, fetched in
            loop.work {
                Array(resolvedValues(list, fetched, held, id))
            } completion: { [weak self] in
                self?.signing.fill($0, of: digest)
            }
        }
        @Sendable func resolvedValues(
            _ list: DescriptorList, _ fetched: [SignedDescriptor], _ held: DescriptorStore, _ id: Bytes32
        ) -> [SignedDescriptor] {
            Array(ListCheck.resolved(list, fetched, [:], by: held, network: id).values)
        }
    }

    // MARK: Messages

    /// Answers GET_LIST_SIGNATURES.
    func answerSignatures(_ body: [UInt8], _ responder: ControlResponder) { exchange.answer(body, responder) }

    /// The answer to GET_PROPOSAL; nil for a malformed body.
    func proposal(for body: [UInt8]) -> [UInt8]? {
        Bytes32(body).map { signing.proposal($0) ?? [] }
    }

    /// The answer to GET_LIST; nil for a malformed body.
    func list(for body: [UInt8]) -> [UInt8]? {
        var reader = ByteReader(body.rawSpan)
        guard let round = try? reader.u64(), reader.remaining == 0 else { return nil }
        guard let certified = signing.certified, certified.list.round > round else { return [] }
        return answer.bytes(of: certified, under: snapshotDigest) { snapshot.voters }
    }

    /// Answers GET_LISTED on another thread, one question at a time, with a share of the places for each asker.
    func answerListed(_ body: [UInt8], _ responder: ControlResponder) {
        guard let question = try? ListedQuestion(decoding: body.rawSpan), let source = links.source(of: responder.link)
        else { return links.refuse(responder) }
        let dropped = listing.add((question: question, responder: responder), from: Asker(source))
        if let dropped { links.refuse(dropped.responder) }
        answerNext()
    }

    private func answerNext() {
        while !isListing, let next = listing.take()?.request {
            guard links.isAnswering(next.responder) else { continue }
            isListing = true
            let signing = signing
            links.loop.work {
                SignedDescriptor.encodeList(signing.listed(next.question, byteLimit: Self.answerBytes))
            } completion: { [weak self] in
                guard let self else { return }
                isListing = false
                links.answer(next.responder, $0)
                answerNext()
            }
        }
    }

    /// Closes the exchange's timer.
    func close() { exchange.close() }
}
