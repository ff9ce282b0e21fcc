public import OnionCrypto
internal import Wire

/// One authority's part in making blocks: a state machine over a chain that its owner keeps (docs/registry.md, "Making blocks").
///
/// For each height the authorities agree on one block, slot by slot, by acceptances, certificates of them, and locks. Every vote that
/// is returned must be on disk before what comes after it goes out. See `Authority+Answers.swift` for its part in others' slots.
public struct Authority {
    /// What is to be done, in this order.
    public enum Action: Hashable, Sendable {
        /// To put the vote on disk.
        case keep(AuthorityVote)
        /// To ask these authorities.
        case ask(AuthorityRequest, [Int])
        /// To append a block that is final.
        case finish(FinalBlock)
    }

    /// The leader's work on one block.
    private struct Round {
        let height: UInt64
        let slot: UInt64
        /// When it began, in milliseconds since 1970.
        let began: UInt64
        var phase: Phase

        enum Phase {
            /// Who has answered, who of them has promised, and the lock of the highest slot among the promises.
            case preparing(answered: Set<Int>, promised: Set<Int>, best: Lock?)
            case proposing(Block, [AuthoritySignature])
            case committing(Block, [AuthoritySignature])
        }
    }

    private final class Key {
        let key: SigningKey
        init(_ key: consuming SigningKey) { self.key = key }
    }

    let rules: LedgerRules
    private let key: Key
    /// This authority's place among all.
    public let index: Int
    /// What it has promised for the height after the chain's.
    public internal(set) var vote: AuthorityVote
    /// The last slot whose leader has shown something wrong: it gets no second try, for each costs a check of a block.
    var spoiltSlot: UInt64 = 0
    private var round: Round?
    /// The slot in which this authority began a round last.
    private var begun: UInt64 = 0

    /// The authority of `key`, with the vote that it kept last; `nil` when the key is none of the network's.
    public init?(_ rules: LedgerRules, key: consuming SigningKey, kept: AuthorityVote?) {
        let publicKey = key.publicKey
        guard let index = rules.authorities.firstIndex(where: { $0.key == publicKey }) else { return nil }
        self.rules = rules
        self.index = index
        self.key = Key(key)
        vote = kept ?? AuthorityVote(height: 1)
    }

    /// Goes back to the vote that was kept last, as a new process would: what came after it has not left this machine.
    mutating func restart(kept: AuthorityVote?) {
        vote = kept ?? AuthorityVote(height: 1)
        spoiltSlot = 0
        begun = 0
        round = nil
    }

    private var others: [Int] { rules.authorities.indices.filter { $0 != index } }

    /// Follows the chain to a new height.
    mutating func follow(_ chain: LedgerChain) {
        if vote.height <= chain.height {
            vote = AuthorityVote(height: chain.height + 1)
            spoiltSlot = 0
            begun = 0
        }
        if let round, round.height <= chain.height { self.round = nil }
    }

    // MARK: The leader

    /// Begins a block when it is due and this authority's turn; to be called often, `now` in milliseconds since 1970.
    public mutating func tick(_ chain: LedgerChain, now: UInt64) -> [Action] {
        follow(chain)
        let slot = rules.slot(at: now)
        // A vote for a height beyond the next is one whose blocks were lost: they must be fetched again first. In the second half of
        // a slot there is not enough time left before the next leader begins.
        guard vote.height == chain.height + 1, chain.leader(of: slot) == index, slot > vote.promised, slot != begun,
            now % rules.slotLength < (rules.slotLength + 1) / 2, now / 1_000 >= chain.state.time + rules.blockSeconds
        else { return [] }
        begun = slot
        // Its own promise follows when the others have given theirs: where its clock is wrong nobody does, and a promise of a
        // slot far ahead would keep it from this height until then.
        round = Round(
            height: vote.height, slot: slot, began: now,
            phase: .preparing(answered: [], promised: [index], best: vote.lock))
        return [.ask(.prepare(height: vote.height, slot: slot), others)]
    }

    /// Goes on where enough have answered, even if that is this authority alone; to be called after each tick and answer.
    public mutating func advance(
        _ chain: inout LedgerChain, pool: OperationPool, now: UInt64
    ) -> [Action] {
        guard let round, round.height == chain.height + 1, vote.height == round.height else { return [] }
        switch round.phase {
        case .preparing(let answered, let promised, var best):
            // Each lock that is not seen here may refuse the block: all have a moment to show theirs.
            guard promised.count >= rules.threshold, vote.promised < round.slot,
                answered.count == others.count || now >= round.began + rules.slotLength / 4
            else { return [] }
            // Its own lock may have moved since, in a lower slot.
            if let lock = vote.lock, lock.slot > best?.slot ?? 0 { best = lock }
            let block: Block
            if let best {
                guard isGood(best.block, &chain, now: now) else { return abandon() }
                (block, vote.certificate) = (best.block, best.certificate)
            } else {
                let proof = key.key.prove(chain.turn.rawSpan)
                block = chain.draft(pool.waiting, time: round.began / 1_000, maker: UInt8(index), proof: proof)
            }
            vote.promised = round.slot
            vote.acceptedSlot = round.slot
            vote.accepted = block
            let acceptance = sign(rules.acceptance(height: block.height, slot: round.slot, hash: block.hash))
            self.round?.phase = .proposing(block, [acceptance])
            return [.keep(vote), .ask(.propose(slot: round.slot, best?.certificate, block), others)]
        case .proposing(let block, let acceptances):
            guard acceptances.count >= rules.threshold, vote.promised == round.slot else { return [] }
            let certificate = Certificate(slot: round.slot, acceptances: acceptances)
            vote.certificate = certificate
            let seal = sign(rules.seal(height: block.height, slot: round.slot, hash: block.hash))
            self.round?.phase = .committing(block, [seal])
            return [.keep(vote), .ask(.commit(height: block.height, hash: block.hash, certificate), others)]
        case .committing(let block, let seals):
            guard seals.count >= rules.threshold else { return [] }
            self.round = nil
            return [.finish(FinalBlock(block, slot: round.slot, signatures: seals))]
        }
    }

    private mutating func abandon() -> [Action] {
        round = nil
        return []
    }

    func sign(_ message: [UInt8]) -> AuthoritySignature {
        AuthoritySignature(authority: UInt8(index), bytes: key.key.sign(message.rawSpan))
    }

    func isGood(_ block: Block, _ chain: inout LedgerChain, now: UInt64) -> Bool {
        do throws(LedgerRefusal) {
            try chain.check(block, now: now / 1_000)
            return true
        } catch {
            return false
        }
    }

    /// Takes what the authority at `other` answered to `request`, nil where nothing came; ``advance(_:pool:now:)`` says what follows.
    public mutating func received(_ answer: AuthorityAnswer?, to request: AuthorityRequest, from other: Int) {
        guard rules.authorities.indices.contains(other), other != index, var round, request.height == round.height,
            request.slot == round.slot
        else { return }
        switch (request, round.phase) {
        case (.prepare, .preparing(var answered, var promised, var best)):
            answered.insert(other)
            if case .promise(let lock)? = answer, isGood(lock, above: best?.slot ?? 0, round) {
                promised.insert(other)
                if let lock, lock.slot > best?.slot ?? 0 { best = lock }
            }
            round.phase = .preparing(answered: answered, promised: promised, best: best)
        case (.propose, .proposing(let block, var acceptances)):
            let message = rules.acceptance(height: block.height, slot: round.slot, hash: block.hash)
            guard add(answer, of: other, over: message, to: &acceptances) else { return }
            round.phase = .proposing(block, acceptances)
        case (.commit, .committing(let block, var seals)):
            let message = rules.seal(height: block.height, slot: round.slot, hash: block.hash)
            guard add(answer, of: other, over: message, to: &seals) else { return }
            round.phase = .committing(block, seals)
        default: return
        }
        self.round = round
    }

    /// Whether a lock that is shown with a promise is none, no higher than `slot`, or what its certificate says.
    private func isGood(_ lock: Lock?, above slot: UInt64, _ round: Round) -> Bool {
        guard let lock, lock.slot > slot else { return true }
        return lock.slot < round.slot && lock.block.height == round.height
            && rules.isGood(lock.certificate, height: round.height, hash: lock.block.hash)
    }

    /// Adds the signature that is the answer, where it is one, good, and the first of `other`.
    private func add(
        _ answer: AuthorityAnswer?, of other: Int, over message: [UInt8], to list: inout [AuthoritySignature]
    ) -> Bool {
        guard case .signature(let bytes)? = answer, !list.contains(where: { Int($0.authority) == other }),
            SigningKey.verify(bytes.rawSpan, of: message.rawSpan, by: rules.authorities[other].key)
        else { return false }
        list.append(AuthoritySignature(authority: UInt8(other), bytes: bytes))
        return true
    }
}
