// One file: the rounds of a cycle share private state.

internal import OnionCrypto
public import Wire

/// Why a list of descriptors is neither signed nor used.
public enum ListRefusal: Error, Equatable {
    /// The bytes are not a list.
    case malformed(WireError)
    /// It belongs to another round.
    case otherRound
    /// It does not name the trusted snapshot.
    case otherSnapshot
    /// Its proposer may not propose in this round, or has not signed it.
    case notProposed
    /// One of its descriptors is missing here.
    case missing
    /// A descriptor is not acceptable now.
    case unsound(DescriptorRefusal)
    /// It has two descriptors of this node.
    case twice(NodeID)
    /// It leaves out so many descriptors that the judging node demands.
    case leavesOut(Int)
    /// Too few voters of the trusted snapshot have signed it: `signatures` of the `needed` ones.
    case tooFewSignatures(signatures: Int, needed: Int)
    /// A signature of a voter is wrong.
    case badSignature(NodeID)
}

/// The signatures of one list of descriptors, by the voters of the snapshot that it names.
public typealias ListSignatures = Signatures<DescriptorList>

/// How the nodes agree on the descriptors that all clients use (protocol.md, section 10.9).
///
/// In each round one node may propose a list. A node signs at most one list of a round. It signs a list only if it has
/// all of the descriptors, finds each one sound, and the list leaves out nearly none that the node demands. A list that
/// more than two thirds of the voters have signed is *certified*. It stays in force until a list of a later round is
/// certified. A round has no certified list if its proposer is down or offers several lists; the next round then
/// collects signatures of its own. A cycle with a certified list has no further rounds.
///
/// A value type without a clock, a socket or a thread. It keeps at most one candidate for each round of a cycle, and
/// two certified lists.
public struct ListSigning: Sendable {
    /// A list that was proposed in a round of this cycle.
    struct Candidate: Sendable {
        let list: DescriptorList
        /// The encoded proposal, for neighbours that ask for it.
        let proposal: [UInt8]
        var signatures: ListSignatures
        /// The verified descriptors of the list that are here; all of them once `isGood` is true.
        var descriptors: [Bytes32: SignedDescriptor] = [:]
        var isGood = false
        var isRefused = false
    }

    /// A list that more than two thirds of the voters have signed.
    public struct Certified: Sendable {
        /// The list.
        public let list: DescriptorList
        /// The digest that its voters signed.
        public let digest: Bytes32
        /// The signatures, by signer.
        public internal(set) var signatures: [NodeID: [UInt8]]
        /// The descriptors of the list that are here, by their hashes.
        public internal(set) var descriptors: [Bytes32: SignedDescriptor]
        /// Its signatures by the voters of the snapshot that it names, while it is no candidate.
        ///
        /// More are collected than are needed now: under a coming snapshot some signers may be gone. Nil where the
        /// voters are not known here.
        var gathered: ListSignatures?

        /// The list with signatures of `voters`: as many as are needed, or all if there are fewer.
        public func signed(for voters: [NodeID]) -> SignedDescriptorList {
            let needed = SnapshotChain.quorum(of: voters.count)
            let chosen = voters.lazy.compactMap { node in
                signatures[node].map { SignedSnapshot.Signature(signer: node, bytes: $0) }
            }.prefix(needed)
            return SignedDescriptorList(list, signatures: Array(chosen))
        }
    }

    /// The times of cycles and rounds.
    public let schedule: ListSchedule
    private let network: Bytes32
    private var snapshot: Snapshot
    private var snapshotDigest: Bytes32
    /// The staked nodes of the trusted snapshot.
    ///
    /// `proposers` has the places among them of the nodes that may propose in this cycle, by round.
    private var voters: [NodeID]
    private var proposers: [Int] = []
    /// The round at the time of the last ``advance(to:)``.
    public private(set) var round: UInt64 = 0
    /// The candidates, by the place of their round in this cycle.
    private var candidates: [Int: Candidate] = [:]
    /// The newest certified list.
    public private(set) var certified: Certified?
    /// The certified list before ``certified``; its descriptors are still requested.
    public private(set) var previous: Certified?
    /// The rounds of which this node has signed a list.
    public private(set) var signed: Signed
    /// Neighbours that sent an invalid proposal, or failed otherwise, in this cycle.
    private var liars: Set<NodeID> = []
    /// Neighbours that offered a proposal under a snapshot other than the one trusted here.
    private var elsewhere: Set<NodeID> = []
    /// Proposals of this cycle for rounds that already have a candidate; they are not requested again.
    private var surplus: Set<Bytes32> = []
    /// The number of these proposals that each neighbour gave.
    private var surplusGiven: [NodeID: Int] = [:]

    /// Starts with the rounds that this node signed before a restart, `signed`, under the trusted `snapshot`.
    public init(
        network: Bytes32, schedule: ListSchedule, snapshot: Snapshot, digest: Bytes32, signed: Signed = Signed()
    ) {
        self.network = network
        self.schedule = schedule
        self.snapshot = snapshot
        snapshotDigest = digest
        voters = snapshot.voters
        self.signed = signed
    }

    /// Continues under a newer trusted snapshot; each candidate stays, with its own voters.
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

    /// Moves to the round at `now`; drops the candidates of other cycles.
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

    /// Whether `node` must propose now: it is drawn for this round, may sign a list of it, and no list of the cycle is
    /// certified.
    ///
    /// A proposer first waits a quarter of a step, so that late descriptors arrive.
    public func isTurn(of node: NodeID, at now: UnixTime) -> Bool {
        let place = ListSchedule.place(of: round)
        return !isDone && signed.allows(round) && schedule.round(at: now) == round
            && isProposer(node, place) && candidates[place] == nil
            && schedule.isOpen(place, at: now, for: schedule.step / 4)
    }

    /// Whether `node` may propose in a round of this cycle.
    public func mayPropose(_ node: NodeID) -> Bool { proposers.indices.contains { isProposer(node, $0) } }

    private func isProposer(_ node: NodeID, _ place: Int) -> Bool {
        proposers.indices.contains(place) && voters[proposers[place]] == node
    }

    /// Proposes the listable descriptors of `store`; returns the digest of the list, or nil if `node` may not propose.
    ///
    /// `sign` makes a signature of 64 bytes. The signature also counts as this node's vote: ``signed`` must be on disk
    /// before anything about the candidate is sent.
    public mutating func propose(
        _ store: DescriptorStore, as node: NodeID, at now: UnixTime, by sign: ([UInt8]) -> [UInt8]
    ) -> Bytes32? {
        let descriptors = store.listable(at: now)
        let place = ListSchedule.place(of: round)
        guard isProposer(node, place), candidates[place] == nil, signed.allows(round), !descriptors.isEmpty,
            let list = DescriptorList(
                round: round, height: snapshot.height, snapshot: snapshotDigest, hashes: Array(descriptors.keys))
        else { return nil }
        var signatures = collection(of: list)
        signed.add(round)
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

    /// Whether to request the proposal of `round` with `digest` from `node`, which has signatures for it.
    public func wants(_ digest: Bytes32, round: UInt64, from node: NodeID) -> Bool {
        ListSchedule.cycle(of: round) == cycle && !isDone && !liars.contains(node) && !elsewhere.contains(node)
            && candidates.count < schedule.rounds && collection(digest) == nil && !surplus.contains(digest)
    }

    /// The encoded proposal of the candidate with `digest`, for a neighbour that asks for it.
    ///
    /// Only a node that has all of its descriptors passes it on.
    public func proposal(_ digest: Bytes32) -> [UInt8]? {
        candidate(digest).flatMap { candidates[$0]!.isGood ? candidates[$0]!.proposal : nil }
    }

    private func candidate(_ digest: Bytes32) -> Int? {
        candidates.first { $0.value.signatures.digest == digest }?.key
    }

    /// Takes the proposal with `digest` from a neighbour; verifies one signature.
    ///
    /// Of a proposer's several lists for a round, the first one to arrive becomes the candidate. After a throw the
    /// neighbour is not asked again in this cycle; if it trusts another snapshot, only until that snapshot is trusted
    /// here.
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
            // An honest neighbour gives one proposal of each round, or two if the proposer has restarted. A neighbour
            // that gives more colludes with the proposer.
            surplus.insert(digest)
            surplusGiven[node, default: 0] += 1
            if surplusGiven[node]! > 2 * schedule.rounds { liars.insert(node) }
            return
        }
        _ = signatures.add(item)
        candidates[place] = Candidate(list: list, proposal: bytes, signatures: signatures)
    }

    /// Stops asking `node` in this cycle: it did not answer, or its answer did not match its signatures.
    public mutating func shun(_ node: NodeID) { liars.insert(node) }

    /// The list of the candidate with `digest` if its descriptors must still be judged, otherwise nil.
    public func unjudged(_ digest: Bytes32) -> DescriptorList? {
        guard let place = candidate(digest), let found = candidates[place], !found.isGood, !found.isRefused else {
            return nil
        }
        return found.list
    }

    /// The descriptors of the candidate with `digest` that are here so far.
    public func collected(_ digest: Bytes32) -> [Bytes32: SignedDescriptor] {
        candidate(digest).flatMap { candidates[$0]?.descriptors } ?? [:]
    }

    /// Keeps some verified descriptors of the candidate with `digest` until the others arrive.
    public mutating func collect(_ descriptors: [Bytes32: SignedDescriptor], for digest: Bytes32) {
        guard let place = candidate(digest), !candidates[place]!.isGood, !candidates[place]!.isRefused else { return }
        candidates[place]!.descriptors.merge(descriptors) { first, _ in first }
    }

    /// Judges a list by the descriptors of this node; throws if the list must not be signed.
    ///
    /// `descriptors` are those of the list, with verified signatures. The list may leave out one in 64 of the
    /// descriptors that `store` demands, because messages may have been lost. The cost is a pass over both.
    ///
    /// This check allows more clock difference than accepting a descriptor from its publisher does. So the descriptors
    /// of an honest proposer are sound to every node whose clock differs by less than the tolerance, and no publisher
    /// can split the nodes with dates at the limit.
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

    /// Takes the result for the candidate with `digest`: its descriptors, or nil if it must not be signed.
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

    /// The digest of the candidate that `node` must sign now: it is good, its round has begun, and `node` has signed
    /// nothing of that round or a later one of the cycle.
    ///
    /// A list that arrives late is signed unless a later one was. If a list of the cycle is certified, only that one is
    /// signed.
    public func due(_ node: NodeID, at now: UnixTime) -> Bytes32? {
        guard schedule.round(at: now) == round else { return nil }
        let place = candidates.keys.sorted().first { place in
            let candidate = candidates[place]!
            return candidate.isGood && signed.allows(candidate.list.round) && schedule.isOpen(place, at: now)
                && candidate.signatures.place(of: node) != nil
                && (!isDone || certified?.digest == candidate.signatures.digest)
        }
        return place.map { candidates[$0]!.signatures.digest }
    }

    /// Signs the candidate with `digest`; ``signed`` must be on disk before the item is sent.
    public mutating func sign(
        _ digest: Bytes32, as node: NodeID, by sign: ([UInt8]) -> [UInt8]
    ) -> SignatureItem? {
        guard let collection = collection(digest), signed.allows(collection.height),
            let place = collection.place(of: node)
        else { return nil }
        signed.add(collection.height)
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

    /// Adds checked signatures for the list with `digest`; returns the new ones, and whether they certify a newer list.
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

    /// Checks a certified list from another node against the trusted snapshot; returns its digest.
    ///
    /// More than two thirds of the voters of the *trusted* snapshot must have signed, even if the list names an older
    /// one. A node signs one list of a round, so no round has two certified lists as long as fewer than a third of
    /// these voters lie. The cost is one verification for each needed signature.
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

    /// Takes a list that ``check(_:network:trusted:digest:check:)`` accepted under the present trusted snapshot.
    ///
    /// `descriptors` are those of the list that are here. Only the signatures that were verified are kept: others would
    /// go out to readers under a coming snapshot. The other voters' are collected from now on, if the list names the
    /// trusted snapshot. Returns whether the list is newer than the one before.
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

    /// The places in the certified list of the hashes whose descriptors are missing here.
    public var lacking: [Int] {
        guard let certified else { return [] }
        return certified.list.hashes.indices.filter { certified.descriptors[certified.list.hashes[$0]] == nil }
    }

    /// Adds verified descriptors of the certified list with `digest`.
    public mutating func fill(_ descriptors: [SignedDescriptor], of digest: Bytes32) {
        guard certified?.digest == digest else { return }
        for found in descriptors {
            let hash = found.digest
            if certified!.list.place(of: hash) != nil { certified!.descriptors[hash] = found }
        }
    }

    /// The requested descriptors of a list in the order of their places, cut before `byteLimit`; empty if the list is
    /// unknown here.
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
