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
    /// Its proposer may not propose with this rank, or has not signed it.
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
/// In each round one node after the other may propose a list. A node signs at most one list of a round, and only one all of whose
/// descriptors it has and finds good, and that leaves out nearly none that it has known for long. A list that more than two
/// thirds of the voters have signed is *certified*, and stays in force until the next one.
///
/// A value without a clock, a socket or a thread. Bounded: one candidate for each rank, and two certified lists.
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
    }

    /// A list that is proposed in this round.
    struct Candidate: Sendable {
        let proposal: ListProposal
        var signatures: ListSignatures
        /// Its descriptors, once all of them were found good.
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
    /// The staked nodes of the trusted snapshot, and the places of those that may propose in this round, by rank.
    private var voters: [NodeID]
    private var proposers: [Int] = []
    /// The round at the time of the last ``advance(to:)``.
    public private(set) var round: UInt64 = 0
    private var candidates: [Int: Candidate] = [:]
    /// The newest certified list.
    public private(set) var certified: Certified?
    /// The certified list before, whose descriptors are still asked for.
    public private(set) var previous: Certified?
    /// What this node signed last.
    public private(set) var signed: Signed?
    /// Neighbours that offered, in this round, what is no proposal.
    private var liars: Set<NodeID> = []
    /// Neighbours that offered a proposal under another snapshot than the one trusted here.
    private var elsewhere: Set<NodeID> = []
    /// Proposals of this round for a rank that has its candidate: they are not asked for again.
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

    private mutating func draw() {
        let (round, digest, count) = (round, snapshotDigest, voters.count)
        guard count > 0 else { return proposers = [] }
        proposers = (0..<schedule.ranks).map {
            ListSchedule.proposer(rank: $0, round: round, snapshot: digest, count: count)
        }
    }

    /// Comes to the round at `now`; candidates of another round are dropped.
    public mutating func advance(to now: UnixTime) {
        let current = schedule.round(at: now)
        guard current != round else { return }
        round = current
        candidates = [:]
        liars = []
        elsewhere = []
        surplus = []
        surplusGiven = [:]
        draw()
    }

    /// Whether a list of this round is certified.
    public var isDone: Bool { certified.map { $0.list.round >= round } ?? false }

    // MARK: Proposing

    /// The rank with which `node` is to propose now; nil where it may not, or has signed a list of this round.
    ///
    /// A proposer waits for a quarter of a step, for news.
    public func rank(of node: NodeID, at now: UnixTime) -> Int? {
        guard !isDone, (signed?.round ?? 0) < round, schedule.round(at: now) == round, let rank = rank(of: node),
            candidates[rank] == nil, schedule.isOpen(rank, at: now, for: schedule.step / 4)
        else { return nil }
        return rank
    }

    /// Whether `node` may propose in this round, now or later.
    public func mayPropose(_ node: NodeID) -> Bool { rank(of: node) != nil }

    /// The lowest rank with which `node` was drawn for this round: the only one that counts.
    private func rank(of node: NodeID) -> Int? { proposers.firstIndex { voters[$0] == node } }

    /// Proposes the listable descriptors of `store`, signed by `sign`, which makes 64 bytes of a message; returns the digest.
    ///
    /// The signature is this node's vote as well: ``signed`` must be on disk before anything of the candidate leaves.
    public mutating func propose(
        _ store: DescriptorStore, as node: NodeID, rank: Int, at now: UnixTime, by sign: ([UInt8]) -> [UInt8]
    ) -> Bytes32? {
        let descriptors = store.listable(at: now)
        guard proposers.indices.contains(rank), voters[proposers[rank]] == node, candidates[rank] == nil,
            (signed?.round ?? 0) < round, !descriptors.isEmpty,
            let list = DescriptorList(
                round: round, height: snapshot.height, snapshot: snapshotDigest, hashes: Array(descriptors.keys))
        else { return nil }
        var signatures = collection(of: list)
        signed = Signed(round: round, digest: signatures.digest)
        let bytes = sign(signatures.message)
        _ = signatures.add(SignatureItem(place: proposers[rank], bytes: bytes))
        var candidate = Candidate(
            proposal: ListProposal(rank: UInt8(rank), signature: bytes, list: list), signatures: signatures)
        candidate.descriptors = descriptors
        candidate.isGood = true
        candidates[rank] = candidate
        settle(rank)
        return signatures.digest
    }

    private func collection(of list: DescriptorList) -> ListSignatures {
        let digest = list.digest
        return ListSignatures(
            list, height: list.round, digest: digest,
            message: DescriptorList.message(digest: digest, network: network), voters: voters)
    }

    // MARK: Others' proposals

    /// Whether `node` is to be asked for the proposal of `round` with `digest`, of which it has signatures.
    public func wants(_ digest: Bytes32, round: UInt64, from node: NodeID) -> Bool {
        round == self.round && !isDone && !liars.contains(node) && !elsewhere.contains(node)
            && candidates.count < schedule.ranks && collection(digest) == nil && !surplus.contains(digest)
    }

    /// The candidate with `digest`, for a neighbour that asks for it.
    ///
    /// It is passed on by those alone that have all of its descriptors.
    public func proposal(_ digest: Bytes32) -> ListProposal? {
        candidate(digest).flatMap { candidates[$0]!.isGood ? candidates[$0]!.proposal : nil }
    }

    private func candidate(_ digest: Bytes32) -> Int? {
        candidates.first { $0.value.signatures.digest == digest }?.key
    }

    /// Takes the proposal with `digest` from a neighbour; one signature is verified.
    ///
    /// Of an equivocating proposer the first list counts here. After a throw the neighbour is not asked again in this round, nor,
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
        let (rank, list) = (Int(proposal.rank), proposal.list)
        guard list.round == round else {
            liars.insert(node)
            throw .otherRound
        }
        guard list.snapshot == snapshotDigest, list.height == snapshot.height else {
            elsewhere.insert(node)
            throw .otherSnapshot
        }
        guard rank < proposers.count, proposers.firstIndex(of: proposers[rank]) == rank,
            list.hashes.count <= snapshot.entries.count
        else {
            liars.insert(node)
            throw .notProposed
        }
        guard collection(digest) == nil else { return }
        var signatures = collection(of: list)
        let item = SignatureItem(place: proposers[rank], bytes: proposal.signature)
        guard signatures.digest == digest, signatures.checked([item], check) == [item] else {
            liars.insert(node)
            throw .notProposed
        }
        guard candidates[rank] == nil else {
            // An honest neighbour has one of each rank, or two where it began anew: who has more makes them with the proposer.
            surplus.insert(digest)
            surplusGiven[node, default: 0] += 1
            if surplusGiven[node]! > 2 * schedule.ranks { liars.insert(node) }
            return
        }
        _ = signatures.add(item)
        candidates[rank] = Candidate(proposal: proposal, signatures: signatures)
    }

    /// Asks `node` for nothing more in this round: it did not answer, or not with what it has signed.
    public mutating func shun(_ node: NodeID) { liars.insert(node) }

    /// The candidate's list whose descriptors are to be judged; nil when that is done.
    public func unjudged(_ digest: Bytes32) -> DescriptorList? {
        guard let rank = candidate(digest), let found = candidates[rank], !found.isGood, !found.isRefused else {
            return nil
        }
        return found.proposal.list
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
        guard let rank = candidate(digest) else { return }
        if let descriptors {
            candidates[rank]!.descriptors = descriptors
            candidates[rank]!.isGood = true
        } else {
            candidates[rank]!.isRefused = true
        }
        settle(rank)
    }

    // MARK: Signing

    /// The digest of the candidate that `node` has to sign now: good, its rank open, and nothing of this round signed before.
    public func due(_ node: NodeID, at now: UnixTime) -> Bytes32? {
        guard (signed?.round ?? 0) < round, schedule.round(at: now) == round else { return nil }
        let rank = candidates.keys.sorted().first { rank in
            let candidate = candidates[rank]!
            return candidate.isGood && schedule.isOpen(rank, at: now) && candidate.signatures.place(of: node) != nil
        }
        return rank.map { candidates[$0]!.signatures.digest }
    }

    /// Signs the candidate with `digest` by `sign`; ``signed`` must be on disk before the item leaves.
    public mutating func sign(
        _ digest: Bytes32, as node: NodeID, by sign: ([UInt8]) -> [UInt8]
    ) -> SignatureItem? {
        guard (signed?.round ?? 0) < round, let collection = collection(digest), let place = collection.place(of: node)
        else { return nil }
        signed = Signed(round: round, digest: digest)
        return SignatureItem(place: place, bytes: sign(collection.message))
    }

    /// The signatures that are collected for the list with `digest`, a candidate of this round.
    public func collection(_ digest: Bytes32) -> ListSignatures? {
        candidate(digest).map { candidates[$0]!.signatures }
    }

    /// The candidates' signatures, by rank.
    public var collections: [ListSignatures] { candidates.sorted { $0.key < $1.key }.map(\.value.signatures) }

    /// Adds checked signatures for the list with `digest`; returns the new ones, and whether a newer list is certified by them.
    public mutating func add(
        _ items: [SignatureItem], for digest: Bytes32
    ) -> (new: [SignatureItem], isNews: Bool) {
        guard let rank = candidate(digest) else { return ([], false) }
        let new = items.filter { candidates[rank]!.signatures.add($0) }
        return (new, settle(rank))
    }

    @discardableResult
    private mutating func settle(_ rank: Int) -> Bool {
        let candidate = candidates[rank]!
        guard candidate.signatures.isFinal else { return false }
        var signatures: [NodeID: [UInt8]] = [:]
        for item in candidate.signatures.missing(in: [], byteLimit: .max) {
            signatures[candidate.signatures.voters[item.place]] = item.bytes
        }
        let list = candidate.proposal.list
        if certified?.digest == candidate.signatures.digest {
            // More than are needed are kept: the voters of a coming snapshot may be others.
            certified!.signatures = signatures
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
    /// out to readers under a coming snapshot. Returns whether the list is newer than the one before.
    @discardableResult
    public mutating func take(
        checked signed: SignedDescriptorList, digest: Bytes32, descriptors: [Bytes32: SignedDescriptor]
    ) -> Bool {
        var signatures: [NodeID: [UInt8]] = [:]
        let verified = signed.signatures.filter { snapshot.isStaked($0.signer) }
        for signature in verified.prefix(SnapshotChain.quorum(of: snapshot)) {
            signatures[signature.signer] = signature.bytes
        }
        return adopt(
            Certified(list: signed.list, digest: digest, signatures: signatures, descriptors: descriptors))
    }

    private mutating func adopt(_ found: Certified) -> Bool {
        guard found.list.round > certified?.list.round ?? 0 else { return false }
        previous = certified
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
            known = candidate(question.digest).map { (candidates[$0]!.proposal.list, candidates[$0]!.descriptors) }
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
