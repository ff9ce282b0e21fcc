// One file: the rounds of a cycle share state that is private to it.

internal import OnionCrypto
public import Wire

/// Why a list of descriptors is not signed, or not taken.
public enum ListRefusal: Error, Equatable {
    /// The bytes are no list.
    case malformed(WireError)
    /// It belongs to another round.
    case otherRound
    /// It names another snapshot than the trusted one.
    case otherSnapshot
    /// Its proposer may not propose in this round, or has not signed it.
    case notProposed
    /// A descriptor is not to be had.
    case missing
    /// A descriptor is not acceptable now.
    case unsound(DescriptorRefusal)
    /// A node stands in it twice.
    case twice(NodeID)
    /// It leaves out this many descriptors that have been known for long.
    case leavesOut(Int)
    /// Too few voters of the trusted snapshot signed: `signatures` of `needed`.
    case tooFewSignatures(signatures: Int, needed: Int)
    /// A signature of a voter is wrong.
    case badSignature(NodeID)
}

/// The signatures of one list of descriptors, by the voters of the snapshot that it names.
public typealias ListSignatures = Signatures<DescriptorList>

/// How the nodes agree on the descriptors that all clients use (protocol.md, section 10.9).
///
/// In each round one node may propose a list. A node signs at most one list of a round, and only one all of whose descriptors it has
/// and finds good, and that leaves out nearly none that it has known for long. A list that more than two thirds of the voters have
/// signed is *certified*, and stays in force until one of a later round is. Where a round of a cycle has none, because its proposer is
/// down or offers several, the next round begins with signatures of its own. A cycle with a certified list has no further round.
///
/// A value without a clock, a socket or a thread. Bounded: one candidate for each round of a cycle, and two certified lists.
public struct ListSigning: Sendable {
    /// What was signed last: never another list of that round.
    public struct Signed: Hashable, Sendable {
        /// The round.
        public let round: UInt64
        /// The digest of the list.
        public let digest: Bytes32

        /// The signature of the list with `digest` in `round`.
        public init(round: UInt64, digest: Bytes32) {
            self.round = round
            self.digest = digest
        }

        /// What is to be kept on disk: round u64, digest 32.
        public func encoded() -> [UInt8] {
            var writer = ByteWriter(capacity: 40)
            writer.u64(round)
            writer.bytes32(digest)
            return writer.bytes
        }

        /// Reads what ``encoded()`` wrote; anything else throws.
        public init(decoding span: RawSpan) throws(WireError) {
            var reader = ByteReader(span)
            round = try reader.u64()
            digest = try reader.bytes32()
            try reader.end()
        }
    }

    /// A list that is proposed in a round of this cycle.
    struct Candidate: Sendable {
        let list: DescriptorList
        /// The encoded proposal, for those that ask for it.
        let proposal: [UInt8]
        var signatures: ListSignatures
        /// Those of its descriptors that are here, each verified; all of them once it is good.
        var descriptors: [Bytes32: SignedDescriptor] = [:]
        var isGood = false
        var isRefused = false
    }

    /// A list that more than two thirds signed.
    public struct Certified: Sendable {
        /// The list.
        public let list: DescriptorList
        /// Its digest.
        public let digest: Bytes32
        /// The signatures by their signers.
        public internal(set) var signatures: [NodeID: [UInt8]]
        /// Its descriptors by their hashes, as far as they are here.
        public internal(set) var descriptors: [Bytes32: SignedDescriptor]
        /// Its signatures by the voters of the snapshot that it names, while it is no candidate.
        ///
        /// More are collected than are needed now: under a coming snapshot some signers may be gone. Nil where the voters are
        /// not known here.
        var gathered: ListSignatures?

        /// The list with signatures of `voters`: as many as are needed, or all where these are fewer.
        public func signed(for voters: [NodeID]) -> SignedDescriptorList {
            let needed = SnapshotChain.quorum(of: voters.count)
            let chosen = voters.lazy.compactMap { node in
                signatures[node].map { SignedSnapshot.Signature(signer: node, bytes: $0) }
            }.prefix(needed)
            return SignedDescriptorList(list, signatures: Array(chosen))
        }
    }

    /// When lists are made.
    public let schedule: ListSchedule
    private let network: Bytes32
    private var snapshot: Snapshot
    private var snapshotDigest: Bytes32
    /// The staked nodes of the trusted snapshot, and the places of those that may propose in the rounds of this cycle.
    private var voters: [NodeID]
    private var proposers: [Int] = []
    /// The round at the time of the last ``advance(to:)``.
    public private(set) var round: UInt64 = 0
    /// By the places of their rounds in this cycle.
    private var candidates: [Int: Candidate] = [:]
    /// The newest certified list.
    public private(set) var certified: Certified?
    /// The certified list before, whose descriptors are still asked for.
    public private(set) var previous: Certified?
    /// What this node signed last.
    public private(set) var signed: Signed?
    /// Neighbours that offered, in this cycle, what is no proposal.
    private var liars: Set<NodeID> = []
    /// Neighbours that offered a proposal under another snapshot than the one trusted here.
    private var elsewhere: Set<NodeID> = []
    /// Proposals of this cycle for a round that has its candidate: they are not asked for again.
    private var surplus: Set<Bytes32> = []
    /// How many of these each neighbour gave.
    private var surplusGiven: [NodeID: Int] = [:]

    /// Begins with what was `signed` before a restart, under the trusted `snapshot`.
    public init(
        network: Bytes32, schedule: ListSchedule, snapshot: Snapshot, digest: Bytes32, signed: Signed? = nil
    ) {
        self.network = network
        self.schedule = schedule
        self.snapshot = snapshot
        snapshotDigest = digest
        voters = snapshot.voters
        self.signed = signed
    }

    /// Goes on under a newer trusted snapshot; the candidates stay, each with its own voters.
    public mutating func follow(_ snapshot: Snapshot, digest: Bytes32) {
        self.snapshot = snapshot
        snapshotDigest = digest
        voters = snapshot.voters
        elsewhere = []
        draw()
    }

    /// The cycle at the time of the last ``advance(to:)``.
    public var cycle: UInt64 { ListSchedule.cycle(of: round) }

    private mutating func draw() {
        let (cycle, digest, count) = (cycle, snapshotDigest, voters.count)
        guard count > 0 else { return proposers = [] }
        proposers = (0..<UInt64(schedule.rounds)).map {
            let round = cycle * UInt64(ListSchedule.maximumRounds) + $0
            return ListSchedule.proposer(of: round, snapshot: digest, count: count)
        }
    }

    /// Comes to the round at `now`; candidates of another cycle are dropped.
    public mutating func advance(to now: UnixTime) {
        let (before, current) = (cycle, schedule.round(at: now))
        guard current != round else { return }
        round = current
        guard cycle != before else { return }
        if let place = certified.flatMap({ candidate($0.digest) }) {
            certified!.gathered = candidates[place]!.signatures
        }
        candidates = [:]
        liars = []
        elsewhere = []
        surplus = []
        surplusGiven = [:]
        draw()
    }

    /// Whether a list of this cycle is certified.
    public var isDone: Bool { certified.map { ListSchedule.cycle(of: $0.list.round) >= cycle } ?? false }

    // MARK: Proposing

    /// Whether `node` is to propose now: it is drawn for this round, has not signed a list of it, and nothing of the cycle is certified.
    ///
    /// A proposer waits for a quarter of a step, for news.
    public func isTurn(of node: NodeID, at now: UnixTime) -> Bool {
        let place = ListSchedule.place(of: round)
        return !isDone && (signed?.round ?? 0) < round && schedule.round(at: now) == round
            && isProposer(node, place) && candidates[place] == nil
            && schedule.isOpen(place, at: now, for: schedule.step / 4)
    }

    /// Whether `node` may propose in this cycle, now or later.
    public func mayPropose(_ node: NodeID) -> Bool { proposers.indices.contains { isProposer(node, $0) } }

    private func isProposer(_ node: NodeID, _ place: Int) -> Bool {
        proposers.indices.contains(place) && voters[proposers[place]] == node
    }

    /// Proposes the listable descriptors of `store`, signed by `sign`, which makes 64 bytes of a message; returns the digest.
    ///
    /// The signature is this node's vote as well: ``signed`` must be on disk before anything of the candidate leaves.
    public mutating func propose(
        _ store: DescriptorStore, as node: NodeID, at now: UnixTime, by sign: ([UInt8]) -> [UInt8]
    ) -> Bytes32? {
        let descriptors = store.listable(at: now)
        let place = ListSchedule.place(of: round)
        guard isProposer(node, place), candidates[place] == nil, (signed?.round ?? 0) < round, !descriptors.isEmpty,
            let list = DescriptorList(
                round: round, height: snapshot.height, snapshot: snapshotDigest, hashes: Array(descriptors.keys))
        else { return nil }
        var signatures = collection(of: list)
        signed = Signed(round: round, digest: signatures.digest)
        let bytes = sign(signatures.message)
        _ = signatures.add(SignatureItem(place: proposers[place], bytes: bytes))
        var candidate = Candidate(
            list: list, proposal: ListProposal(signature: bytes, list: list).encoded(), signatures: signatures)
        candidate.descriptors = descriptors
        candidate.isGood = true
        candidates[place] = candidate
        settle(place)
        return signatures.digest
    }

    private func collection(of list: DescriptorList) -> ListSignatures { collection(of: list, list.digest) }

    private func collection(of list: DescriptorList, _ digest: Bytes32) -> ListSignatures {
        ListSignatures(
            list, height: list.round, digest: digest,
            message: DescriptorList.message(digest: digest, network: network), voters: voters)
    }

    // MARK: Others' proposals

    /// Whether `node` is to be asked for the proposal of `round` with `digest`, of which it has signatures.
    public func wants(_ digest: Bytes32, round: UInt64, from node: NodeID) -> Bool {
        ListSchedule.cycle(of: round) == cycle && !isDone && !liars.contains(node) && !elsewhere.contains(node)
            && candidates.count < schedule.rounds && collection(digest) == nil && !surplus.contains(digest)
    }

    /// The encoded proposal of the candidate with `digest`, for a neighbour that asks for it.
    ///
    /// It is passed on by those alone that have all of its descriptors.
    public func proposal(_ digest: Bytes32) -> [UInt8]? {
        candidate(digest).flatMap { candidates[$0]!.isGood ? candidates[$0]!.proposal : nil }
    }

    private func candidate(_ digest: Bytes32) -> Int? {
        candidates.first { $0.value.signatures.digest == digest }?.key
    }

    /// Takes the proposal with `digest` from a neighbour; one signature is verified.
    ///
    /// Of an equivocating proposer the first list counts here. After a throw the neighbour is not asked again in this cycle, nor,
    /// where it trusts another snapshot, before that is trusted here.
    public mutating func take(
        _ bytes: [UInt8], digest: Bytes32, from node: NodeID, check: SignatureCheck = .ed25519
    ) throws(ListRefusal) {
        let proposal: ListProposal
        do {
            proposal = try ListProposal(decoding: bytes.rawSpan)
        } catch {
            liars.insert(node)
            throw .malformed(error)
        }
        let list = proposal.list
        guard ListSchedule.cycle(of: list.round) == cycle else {
            liars.insert(node)
            throw .otherRound
        }
        guard list.snapshot == snapshotDigest, list.height == snapshot.height else {
            elsewhere.insert(node)
            throw .otherSnapshot
        }
        let place = ListSchedule.place(of: list.round)
        guard place < proposers.count, list.hashes.count <= snapshot.entries.count else {
            liars.insert(node)
            throw .notProposed
        }
        guard collection(digest) == nil else { return }
        var signatures = collection(of: list)
        let item = SignatureItem(place: proposers[place], bytes: proposal.signature)
        guard signatures.digest == digest, signatures.checked([item], check) == [item] else {
            liars.insert(node)
            throw .notProposed
        }
        guard candidates[place] == nil else {
            // An honest neighbour has one of each round, or two where it began anew: who has more makes them with the proposer.
            surplus.insert(digest)
            surplusGiven[node, default: 0] += 1
            if surplusGiven[node]! > 2 * schedule.rounds { liars.insert(node) }
            return
        }
        _ = signatures.add(item)
        candidates[place] = Candidate(list: list, proposal: bytes, signatures: signatures)
    }

    /// Asks `node` for nothing more in this cycle: it did not answer, or not with what it has signed.
    public mutating func shun(_ node: NodeID) { liars.insert(node) }

    /// The candidate's list whose descriptors are to be judged; nil when that is done.
    public func unjudged(_ digest: Bytes32) -> DescriptorList? {
        guard let place = candidate(digest), let found = candidates[place], !found.isGood, !found.isRefused else {
            return nil
        }
        return found.list
    }

    /// The descriptors of the candidate with `digest` that were collected so far.
    public func collected(_ digest: Bytes32) -> [Bytes32: SignedDescriptor] {
        candidate(digest).flatMap { candidates[$0]?.descriptors } ?? [:]
    }

    /// Keeps some of the descriptors of the candidate with `digest`, each verified, until the others are here.
    public mutating func collect(_ descriptors: [Bytes32: SignedDescriptor], for digest: Bytes32) {
        guard let place = candidate(digest), !candidates[place]!.isGood, !candidates[place]!.isRefused else { return }
        candidates[place]!.descriptors.merge(descriptors) { first, _ in first }
    }

    /// Judges a list by what this node knows: throws where it must not be signed.
    ///
    /// `descriptors` are those of the list, whose signatures were verified. At most one in 64 of those that `store` demands may
    /// be left out, for news may have been lost. Costs a pass over both.
    ///
    /// More is sound here than is taken in from a publisher. Whatever an honest proposer holds is then sound to all whose clocks
    /// differ by less than the tolerance, and no publisher can divide them by dates at the edge.
    public static func judge(
        _ list: DescriptorList, _ descriptors: [Bytes32: SignedDescriptor], by store: DescriptorStore,
        _ schedule: ListSchedule, at now: UnixTime
    ) throws(ListRefusal) {
        var listed: [NodeID: UnixTime] = [:]
        for hash in list.hashes {
            guard let found = descriptors[hash] else { throw .missing }
            do {
                try store.checkSound(found, at: now, slack: DescriptorStore.clockTolerance)
            } catch {
                throw .unsound(error)
            }
            let descriptor = found.descriptor
            guard listed.updateValue(descriptor.published, forKey: descriptor.node) == nil else {
                throw .twice(descriptor.node)
            }
        }
        let demands = store.demands(cut: schedule.cut(at: now), at: now)
        let missing = demands.count { node, published in listed[node].map { $0 < published } ?? true }
        guard missing <= demands.count / 64 else { throw .leavesOut(missing) }
    }

    /// What came of judging the candidate with `digest`: its descriptors, or nil where it is not to be signed.
    public mutating func judged(_ digest: Bytes32, _ descriptors: [Bytes32: SignedDescriptor]?) {
        guard let place = candidate(digest) else { return }
        if let descriptors {
            candidates[place]!.descriptors = descriptors
            candidates[place]!.isGood = true
        } else {
            candidates[place]!.isRefused = true
            candidates[place]!.descriptors = [:]
        }
        settle(place)
    }

    // MARK: Signing

    /// The digest of the candidate that `node` has to sign now: good, its round begun, and nothing of that or a later round signed.
    ///
    /// A list that comes late is signed as long as no later one was. Where one of the cycle is certified, only that one is signed.
    public func due(_ node: NodeID, at now: UnixTime) -> Bytes32? {
        guard schedule.round(at: now) == round else { return nil }
        let place = candidates.keys.sorted().first { place in
            let candidate = candidates[place]!
            return candidate.isGood && candidate.list.round > signed?.round ?? 0 && schedule.isOpen(place, at: now)
                && candidate.signatures.place(of: node) != nil
                && (!isDone || certified?.digest == candidate.signatures.digest)
        }
        return place.map { candidates[$0]!.signatures.digest }
    }

    /// Signs the candidate with `digest` by `sign`; ``signed`` must be on disk before the item leaves.
    public mutating func sign(
        _ digest: Bytes32, as node: NodeID, by sign: ([UInt8]) -> [UInt8]
    ) -> SignatureItem? {
        guard let collection = collection(digest), collection.height > signed?.round ?? 0,
            let place = collection.place(of: node)
        else { return nil }
        signed = Signed(round: collection.height, digest: digest)
        return SignatureItem(place: place, bytes: sign(collection.message))
    }

    /// The signatures that are collected for the list with `digest`, a candidate of this cycle or the certified one.
    public func collection(_ digest: Bytes32) -> ListSignatures? {
        if let place = candidate(digest) { return candidates[place]!.signatures }
        return certified?.digest == digest ? certified!.gathered : nil
    }

    /// The signatures of the certified list, of which some may still be missing.
    public var certifiedCollection: ListSignatures? { certified.flatMap { collection($0.digest) } }

    /// The candidates' signatures, by round.
    public var collections: [ListSignatures] { candidates.sorted { $0.key < $1.key }.map(\.value.signatures) }

    /// Adds checked signatures for the list with `digest`; returns the new ones, and whether a newer list is certified by them.
    public mutating func add(
        _ items: [SignatureItem], for digest: Bytes32
    ) -> (new: [SignatureItem], isNews: Bool) {
        guard let place = candidate(digest) else { return (gather(items, for: digest), false) }
        let new = items.filter { candidates[place]!.signatures.add($0) }
        return (new, settle(place))
    }

    private mutating func gather(_ items: [SignatureItem], for digest: Bytes32) -> [SignatureItem] {
        guard certified?.digest == digest, let voters = certified?.gathered?.voters else { return [] }
        let new = items.filter { certified!.gathered!.add($0) }
        for item in new { certified!.signatures[voters[item.place]] = item.bytes }
        return new
    }

    @discardableResult
    private mutating func settle(_ place: Int) -> Bool {
        let candidate = candidates[place]!
        guard candidate.signatures.isFinal else { return false }
        var signatures: [NodeID: [UInt8]] = [:]
        for item in candidate.signatures.missing(in: [], byteLimit: .max) {
            signatures[candidate.signatures.voters[item.place]] = item.bytes
        }
        let list = candidate.list
        if certified?.digest == candidate.signatures.digest {
            // More than are needed are kept: the voters of a coming snapshot may be others.
            certified!.signatures.merge(signatures) { _, new in new }
            if candidate.isGood { certified!.descriptors = candidate.descriptors }
            return false
        }
        return adopt(
            Certified(
                list: list, digest: candidate.signatures.digest, signatures: signatures,
                descriptors: candidate.descriptors))
    }

    // MARK: Certified lists

    /// Checks a list that is said to be certified against the trusted snapshot; returns its digest.
    ///
    /// More than two thirds of the voters of the *trusted* snapshot must have signed, whatever older one the list names: nodes sign
    /// one list of a round, so there are no two as long as fewer than a third of these voters lie. Costs a verification for each
    /// signature that is needed.
    public static func check(
        _ signed: SignedDescriptorList, network: Bytes32, trusted: Snapshot, digest trustedDigest: Bytes32,
        check: SignatureCheck = .ed25519
    ) throws(ListRefusal) -> Bytes32 {
        let list = signed.list
        guard list.height < trusted.height || list.height == trusted.height && list.snapshot == trustedDigest else {
            throw .otherSnapshot
        }
        let needed = SnapshotChain.quorum(of: trusted)
        let counted = signed.signatures.filter { trusted.isStaked($0.signer) }
        guard counted.count >= needed else { throw .tooFewSignatures(signatures: counted.count, needed: needed) }
        let digest = list.digest
        let message = DescriptorList.message(digest: digest, network: network)
        for signature in counted.prefix(needed) {
            guard check.isGood(signature.bytes, message, signature.signer) else {
                throw .badSignature(signature.signer)
            }
        }
        return digest
    }

    /// Takes a list that ``check(_:network:trusted:digest:check:)`` found certified by the snapshot that is trusted now.
    ///
    /// `descriptors` are those of the list that are here. Only the signatures that were verified are kept: others would go
    /// out to readers under a coming snapshot. The other voters' are collected from now on, if the list names the trusted
    /// snapshot. Returns whether the list is newer than the one before.
    @discardableResult
    public mutating func take(
        checked signed: SignedDescriptorList, digest: Bytes32, descriptors: [Bytes32: SignedDescriptor]
    ) -> Bool {
        var signatures: [NodeID: [UInt8]] = [:]
        let verified = signed.signatures.filter { snapshot.isStaked($0.signer) }
        for signature in verified.prefix(SnapshotChain.quorum(of: snapshot)) {
            signatures[signature.signer] = signature.bytes
        }
        let isNew = adopt(
            Certified(list: signed.list, digest: digest, signatures: signatures, descriptors: descriptors))
        guard isNew else { return false }
        let place = candidate(digest)
        guard place != nil || signed.list.snapshot == snapshotDigest else { return true }
        var gathered = place.map { candidates[$0]!.signatures } ?? collection(of: signed.list, digest)
        for (node, bytes) in signatures {
            if let place = gathered.place(of: node) { _ = gathered.add(SignatureItem(place: place, bytes: bytes)) }
        }
        if let place { candidates[place]!.signatures = gathered } else { certified!.gathered = gathered }
        return true
    }

    private mutating func adopt(_ found: Certified) -> Bool {
        guard found.list.round > certified?.list.round ?? 0 else { return false }
        previous = certified
        previous?.gathered = nil
        certified = found
        return true
    }

    /// The places of the hashes of the certified list whose descriptors are not here.
    public var lacking: [Int] {
        guard let certified else { return [] }
        return certified.list.hashes.indices.filter { certified.descriptors[certified.list.hashes[$0]] == nil }
    }

    /// Adds descriptors of the certified list with `digest`, each verified.
    public mutating func fill(_ descriptors: [SignedDescriptor], of digest: Bytes32) {
        guard certified?.digest == digest else { return }
        for found in descriptors {
            let hash = found.digest
            if certified!.list.place(of: hash) != nil { certified!.descriptors[hash] = found }
        }
    }

    /// The descriptors that a question asks for, in the list form's order, cut before `byteLimit`; empty for a list not known here.
    public func listed(_ question: ListedQuestion, byteLimit: Int) -> [SignedDescriptor] {
        let known: (list: DescriptorList, descriptors: [Bytes32: SignedDescriptor])?
        if let found = [certified, previous].compactMap({ $0 }).first(where: { $0.digest == question.digest }) {
            known = (found.list, found.descriptors)
        } else {
            known = candidate(question.digest).map { (candidates[$0]!.list, candidates[$0]!.descriptors) }
        }
        guard let known else { return [] }
        var left = byteLimit
        return question.places.lazy.filter { $0 < known.list.hashes.count }
            .compactMap { known.descriptors[known.list.hashes[$0]] }
            .prefix {
                left -= $0.bytes.count + 2
                return left >= 0
            }
    }
}
