internal import Directory
internal import OnionCrypto
internal import Wire

/// An honest node: it spreads descriptors, and agrees with the others on lists of them.
///
/// It does with the types of `Directory` what a relay's `Gossip` and `Lists` do; what they leave to other threads is done
/// at once. It has more members than most types: the parts of both, and what it has signed.
final class ListNode {
    private unowned let model: ListModel
    let number: Int
    let id: NodeID
    private(set) var store: DescriptorStore
    private var inbox = DescriptorInbox()
    private(set) var signing: ListSigning
    private var items = SignatureInbox()
    private var proposalFetches = ListFetches(patience: 5_000)
    private var descriptorFetches = ListFetches(patience: 15_000)
    /// The questions of these fetches that wait for an answer, and when they were asked.
    private var asked: [Fetch] = []
    private struct Fetch: Equatable {
        let peer: Int
        let isProposal: Bool
        let digest: Bytes32
        /// When it began, in milliseconds, and in which cycle.
        let at: UInt64
        let cycle: UInt64
    }

    /// By how many seconds its clock is wrong.
    var clockError: Int64 = 0
    /// The time of its last descriptor.
    private(set) var published = UnixTime(seconds: 0)
    /// The lists that it has signed, by round.
    private var signed: [UInt64: Bytes32] = [:]

    init(_ model: ListModel, number: Int) {
        self.model = model
        self.number = number
        id = model.id(of: number)
        store = DescriptorStore(network: ListModel.network, allowsPrivateAddresses: false, snapshot: model.snapshot)
        signing = ListSigning(
            network: ListModel.network, schedule: ListModel.schedule, snapshot: model.snapshot,
            digest: model.snapshotDigest)
    }

    var time: UnixTime { UnixTime(seconds: UInt64(Int64(model.time.seconds) + clockError)) }
    private var now: Instant { Instant(nanoseconds: model.running * 1_000_000_000) }
    private var milliseconds: UInt64 { model.running * 1_000 }

    // MARK: Descriptors

    /// Signs a new descriptor, and sends it to the neighbours.
    func publish() {
        published = UnixTime(seconds: max(time.seconds, published.seconds + 1))
        let own = model.descriptor(of: number, published)
        guard (try? store.insert(own, at: time)) == true else { return }
        send([own], except: nil)
    }

    private func send(_ list: [SignedDescriptor], except source: Int?) {
        let body = SignedDescriptor.encodeList(list)
        for peer in model.neighbours(of: number) where peer != source {
            model.send(.descriptors(body), from: number, to: peer)
        }
    }

    /// Takes descriptors that a neighbour brings.
    func take(_ body: [UInt8], from peer: Int) {
        let source = model.id(of: peer)
        guard !inbox.liars.contains(source) else { return }
        let list = (try? SignedDescriptor.decodeList(body.rawSpan)) ?? []
        inbox.put(list.filter(matters), from: source, now: now)
        // One place for each node that it can speak of.
        precondition(inbox.count(of: source) <= model.snapshot.entries.count, "descriptors wait beyond their places")
        checkDescriptors()
    }

    private func matters(_ signed: SignedDescriptor) -> Bool {
        guard signed.descriptor.node != id else { return store.isRival(signed, at: time) }
        return (try? store.isNews(signed, at: time)) == true
    }

    private func checkDescriptors() {
        while true {
            let batch = inbox.take()
            guard !batch.isEmpty else { return }
            let (good, liars) = DescriptorInbox.checked(batch, isNews: matters) {
                VerifiedSignatures.isAuthentic($0, network: ListModel.network)
            }
            inbox.shun(liars)
            precondition(inbox.liars.isSubset(of: [model.hostileID]), "an honest neighbour is taken for a liar")
            for entry in good where entry.signed.descriptor.node == id { inbox.accepted(entry.signed, now: now) }
            for entry in good where entry.signed.descriptor.node != id {
                guard store.insert(authentic: entry.signed, at: time) else { continue }
                model.accepts(entry.signed)
                inbox.accepted(entry.signed, now: now)
                send([entry.signed], except: model.number(of: entry.source))
            }
        }
    }

    func descriptors(since time: UnixTime) -> [UInt8] {
        SignedDescriptor.encodeList(store.since(time, at: self.time))
    }

    // MARK: Once a second

    /// What a node does once a second; it signs only if it `canWrite` the record.
    func tick(canWrite: Bool = true) {
        inbox.advance(to: now)
        checkDescriptors()
        let late = asked.filter { milliseconds - $0.at > 30_000 }
        for fetch in late { ended(fetch, answered: false) }
        let cycle = signing.cycle
        signing.advance(to: time)
        if signing.cycle != cycle { items.forgive() }
        if signing.isTurn(of: id, at: time) { propose(canWrite) }
        signDue(canWrite)
    }

    private func propose(_ canWrite: Bool) {
        guard store.count * 2 >= model.snapshot.stakedCount else { return }
        var after = signing
        let digest = after.propose(store, as: id, at: time) { model.sign($0, as: number) }
        guard let digest, canWrite else { return }
        signing = after
        model.reached.proposals += 1
        note(digest)
        spread(signing.collection(digest)?.missing(in: [], byteLimit: .max) ?? [], of: digest)
    }

    private func signDue(_ canWrite: Bool = true) {
        guard let digest = signing.due(id, at: time) else { return }
        var after = signing
        let item = after.sign(digest, as: id) { model.sign($0, as: number) }
        guard let item, canWrite else { return }
        signing = after
        note(digest)
        add([item], of: digest)
    }

    private func note(_ digest: Bytes32) {
        guard let list = signing.collection(digest)?.subject else { preconditionFailure("a signature of nothing") }
        precondition(signed.updateValue(digest, forKey: list.round) == nil, "two signatures in a round")
        let later = signed.keys.contains {
            $0 > list.round && ListSchedule.cycle(of: $0) == ListSchedule.cycle(of: list.round)
        }
        precondition(!later, "a signature for a round before one that was signed")
        precondition(list.hashes.allSatisfy { model.made[$0] != nil }, "a signature for a descriptor that nobody made")
        model.signs(digest, number)
    }

    /// Ends the process, and starts it again with the record of its signatures.
    func restart() {
        let bytes = signing.signed.encoded()
        guard let record = try? ListSigning.Signed(decoding: bytes.rawSpan) else {
            preconditionFailure("its own record is unreadable")
        }
        signing = ListSigning(
            network: ListModel.network, schedule: ListModel.schedule, snapshot: model.snapshot,
            digest: model.snapshotDigest, signed: record)
        (inbox, items, asked) = (DescriptorInbox(), SignatureInbox(), [])
        (proposalFetches, descriptorFetches) = (ListFetches(patience: 5_000), ListFetches(patience: 15_000))
        signing.advance(to: time)
    }

    // MARK: Signatures

    func pull(_ peer: Int) {
        for collection in signing.collections + [signing.certifiedCollection].compactMap({ $0 }) {
            guard !collection.isWhole else { continue }
            model.send(
                .getSignatures(digest: collection.digest, bitmap: collection.bitmap), from: number, to: peer)
        }
        for collection in signing.collections { judge(collection.digest) }
    }

    private func spread(_ new: [SignatureItem], of digest: Bytes32) {
        guard !new.isEmpty, let collection = signing.collection(digest) else { return }
        let body = ListSignatures.encode(new)
        for peer in model.neighbours(of: number) {
            model.send(.signatures(round: collection.height, digest: digest, items: body), from: number, to: peer)
        }
    }

    private func add(_ good: [SignatureItem], of digest: Bytes32) {
        let (new, isNews) = signing.add(good, for: digest)
        if isNews { changed() }
        if signing.proposal(digest) != nil { spread(new, of: digest) }
    }

    private func changed() { if let certified = signing.certified { model.certifies(certified, number) } }

    func take(_ body: [UInt8], of digest: Bytes32, round: UInt64?, from peer: Int) {
        let source = model.id(of: peer)
        var reader = ByteReader(body.rawSpan)
        guard !items.liars.contains(source), let list = try? ListSignatures.decode(from: &reader) else { return }
        guard let collection = signing.collection(digest) else {
            guard let round, signing.wants(digest, round: round, from: source),
                proposalFetches.begin(source, now: milliseconds)
            else { return }
            begins(peer, isProposal: true, digest)
            return model.send(.getProposal(digest), from: number, to: peer)
        }
        items.put(list, from: source, for: collection)
        precondition(items.count <= SignatureInbox.share, "signatures wait beyond a neighbour's share")
        while let digest = items.digest {
            guard let collection = signing.collection(digest) else {
                items.drop(digest)
                continue
            }
            let (good, liars) = collection.checked(items.take(for: collection), VerifiedSignatures.check)
            _ = items.shun(liars)
            precondition(items.liars.isSubset(of: [model.hostileID]), "an honest neighbour is taken for a liar")
            add(good, of: digest)
        }
    }

    func signatures(_ digest: Bytes32, without bitmap: [UInt8]) -> [UInt8]? {
        signing.collection(digest).map { ListSignatures.encode($0.missing(in: bitmap, byteLimit: 66_000)) }
    }

    // MARK: Proposals

    private func begins(_ peer: Int, isProposal: Bool, _ digest: Bytes32) {
        asked.append(
            Fetch(peer: peer, isProposal: isProposal, digest: digest, at: milliseconds, cycle: signing.cycle))
    }

    /// The fetch that `peer` answers; nil if it has ended before.
    private func fetch(from peer: Int, isProposal: Bool, _ digest: Bytes32) -> Fetch? {
        asked.first { $0.peer == peer && $0.isProposal == isProposal && $0.digest == digest }
    }

    private func ended(_ fetch: Fetch, answered: Bool) {
        asked.removeAll { $0 == fetch }
        let source = model.id(of: fetch.peer)
        if fetch.isProposal {
            proposalFetches.ended(source, answered: answered, now: milliseconds)
        } else {
            descriptorFetches.ended(source, answered: answered, now: milliseconds)
        }
    }

    func takeProposal(_ body: [UInt8], digest: Bytes32, from peer: Int) {
        guard let fetch = fetch(from: peer, isProposal: true, digest) else { return }
        ended(fetch, answered: true)
        guard fetch.cycle == signing.cycle else { return }
        guard !body.isEmpty else { return signing.shun(model.id(of: peer)) }
        do throws(ListRefusal) {
            try signing.take(body, digest: digest, from: model.id(of: peer), check: VerifiedSignatures.check)
        } catch {
            model.reached.refusals += 1
            return precondition(peer == ListModel.hostile, "an honest proposal is refused: \(error)")
        }
        judge(digest, asking: peer)
    }

    private func judge(_ digest: Bytes32, asking peer: Int? = nil, with fetched: [SignedDescriptor] = []) {
        guard let list = signing.unjudged(digest) else { return }
        let known = (signing.certified?.descriptors ?? [:]).merging(signing.collected(digest)) { first, _ in first }
        let found = resolved(list, fetched, known)
        let lacking = list.hashes.indices.filter { found[list.hashes[$0]] == nil }
        guard lacking.isEmpty else {
            let fresh = Set(fetched.map(\.digest))
            signing.collect(found.filter { fresh.contains($0.key) && known[$0.key] == nil }, for: digest)
            guard fetched.isEmpty else {
                let isUseful = fetched.contains { list.place(of: $0.digest) != nil }
                if let peer, !isUseful { signing.shun(model.id(of: peer)) }
                return
            }
            return fetch(lacking, of: digest, from: peer)
        }
        let isGood =
            (try? ListSigning.judge(list, found, by: store, ListModel.schedule, at: time)) != nil
        signing.judged(digest, isGood ? found : nil)
        if isGood {
            spread(signing.collection(digest)?.missing(in: [], byteLimit: .max) ?? [], of: digest)
            signDue()
        }
    }

    /// The descriptors of a list that are here; the signatures of the fetched ones are verified.
    private func resolved(
        _ list: DescriptorList, _ fetched: [SignedDescriptor], _ known: [Bytes32: SignedDescriptor]
    ) -> [Bytes32: SignedDescriptor] {
        let held = store.byDigest
        var found: [Bytes32: SignedDescriptor] = [:]
        for hash in list.hashes { if let signed = held[hash] ?? known[hash] { found[hash] = signed } }
        for signed in fetched where list.place(of: signed.digest) != nil && found[signed.digest] == nil {
            guard VerifiedSignatures.isAuthentic(signed, network: ListModel.network) else { continue }
            found[signed.digest] = signed
        }
        return found
    }

    private func fetch(_ places: [Int], of digest: Bytes32, from peer: Int?) {
        let others = model.neighbours(of: number).filter {
            descriptorFetches.admits(model.id(of: $0), now: milliseconds)
        }
        guard !places.isEmpty, let peer = peer ?? others.first,
            descriptorFetches.begin(model.id(of: peer), now: milliseconds)
        else { return }
        begins(peer, isProposal: false, digest)
        let body = ListedQuestion(digest: digest, places: places).encoded()
        model.send(.getListed(body, digest: digest), from: number, to: peer)
    }

    func takeListed(_ body: [UInt8], of digest: Bytes32, from peer: Int) {
        guard let fetch = fetch(from: peer, isProposal: false, digest) else { return }
        ended(fetch, answered: true)
        let list = (try? SignedDescriptor.decodeList(body.rawSpan)) ?? []
        guard !list.isEmpty else { return }
        if signing.certified?.digest == digest {
            signing.fill(
                list.filter { VerifiedSignatures.isAuthentic($0, network: ListModel.network) }, of: digest)
        }
        judge(digest, asking: peer, with: list)
    }

    func listed(_ question: [UInt8]) -> [UInt8]? {
        (try? ListedQuestion(decoding: question.rawSpan)).map {
            SignedDescriptor.encodeList(signing.listed($0, byteLimit: 1 << 20))
        }
    }

    // MARK: Certified lists

    func askForList(_ peer: Int) {
        model.send(.getList(above: signing.certified?.list.round ?? 0), from: number, to: peer)
        if let digest = signing.certified?.digest { fetch(signing.lacking, of: digest, from: peer) }
    }

    func takeList(_ body: [UInt8]) {
        guard let found = ListModel.checked(body, model) else { return }
        let descriptors = resolved(found.signed.list, [], signing.certified?.descriptors ?? [:])
        if signing.take(checked: found.signed, digest: found.digest, descriptors: descriptors) { changed() }
    }

    func list(above round: UInt64) -> [UInt8] {
        guard let certified = signing.certified, certified.list.round > round else { return [] }
        let signed = certified.signed(for: model.snapshot.voters)
        return signed.signatures.count >= SnapshotChain.quorum(of: model.snapshot) ? signed.encoded() : []
    }

    // MARK: Promises

    func check() {
        precondition(store.count <= model.snapshot.entries.count, "descriptors of nodes that are not staked")
        precondition(signing.collections.count <= ListModel.schedule.rounds, "candidates beyond the rounds")
        precondition(signing.signed.rounds.count <= ListSigning.Signed.limit, "signed rounds without a bound")
        precondition(asked.count <= 2 * model.snapshot.entries.count, "a neighbour has two fetches")
    }
}
