public import OnionCrypto
internal import Wire

/// One authority's part in making blocks: a state machine over a chain that its owner keeps (docs/registry.md, "Making blocks").
///
/// For each height the authorities agree on one block as in single-decree Paxos, slot by slot, and then sign it for good, each of
/// them at most one block per height. Every vote that is returned must be on disk before what comes after it goes out.
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
        var height: UInt64
        var slot: UInt64
        var phase: Phase

        enum Phase {
            case preparing(Set<Int>, best: (slot: UInt64, block: Block)?)
            case proposing(Block, [AuthoritySignature])
            case committing(Block, [AuthoritySignature])
        }
    }

    private final class Key {
        let key: SigningKey
        init(_ key: consuming SigningKey) { self.key = key }
    }

    private let rules: LedgerRules
    private let key: Key
    /// This authority's place among all.
    public let index: Int
    /// What it has promised for the height after the chain's.
    public private(set) var vote: AuthorityVote
    private var round: Round?

    /// The authority of `key`, with the vote that it kept last; `nil` when the key is none of the network's.
    public init?(_ rules: LedgerRules, key: consuming SigningKey, kept: AuthorityVote?) {
        let publicKey = key.publicKey
        guard let index = rules.authorities.firstIndex(where: { $0.key == publicKey }) else { return nil }
        self.rules = rules
        self.index = index
        self.key = Key(key)
        vote = kept ?? AuthorityVote(height: 1)
    }

    private var others: [Int] { rules.authorities.indices.filter { $0 != index } }

    /// Follows the chain to a new height.
    private mutating func follow(_ chain: LedgerChain) {
        if vote.height <= chain.height { vote = AuthorityVote(height: chain.height + 1) }
        if let round, round.height <= chain.height { self.round = nil }
    }

    // MARK: The leader

    /// Begins a block when it is due and this authority's turn; to be called often, `now` in milliseconds since 1970.
    public mutating func tick(_ chain: LedgerChain, now: UInt64) -> [Action] {
        follow(chain)
        let slot = rules.slot(at: now)
        // A vote for a height beyond the next is one whose blocks were lost: they must be fetched again first.
        guard vote.height == chain.height + 1, rules.leader(of: slot) == index, slot > vote.promised,
            now / 1_000 >= chain.state.time + rules.blockSeconds
        else { return [] }
        vote.promised = slot
        let own = vote.accepted.map { (vote.acceptedSlot, $0) }
        round = Round(height: vote.height, slot: slot, phase: .preparing([index], best: own))
        return [.keep(vote), .ask(.prepare(height: vote.height, slot: slot), others)]
    }

    /// Goes on where enough have answered, even if that is this authority alone; to be called after each tick and answer.
    public mutating func advance(
        _ chain: inout LedgerChain, pool: OperationPool, now: UInt64
    ) -> [Action] {
        guard let round, round.height == chain.height + 1, vote.height == round.height else { return [] }
        switch round.phase {
        case .preparing(let promises, let best):
            guard promises.count >= rules.threshold, vote.promised == round.slot else { return [] }
            let block = best?.block ?? chain.draft(pool.waiting, time: now / 1_000)
            guard best == nil || isGood(block, &chain, now: now) else { return abandon() }
            vote.acceptedSlot = round.slot
            vote.accepted = block
            let message = rules.acceptance(height: block.height, slot: round.slot, hash: block.hash)
            let acceptance = sign(message)
            self.round?.phase = .proposing(block, [acceptance])
            return [.keep(vote), .ask(.propose(slot: round.slot, block), others)]
        case .proposing(let block, let acceptances):
            guard acceptances.count >= rules.threshold else { return [] }
            guard vote.signed == nil || vote.signed == block.hash else { return abandon() }
            vote.signed = block.hash
            let seal = sign(rules.seal(height: block.height, hash: block.hash))
            self.round?.phase = .committing(block, [seal])
            let request = AuthorityRequest.commit(
                height: block.height, slot: round.slot, hash: block.hash,
                acceptances: acceptances.sorted { $0.authority < $1.authority })
            return [.keep(vote), .ask(request, others)]
        case .committing(let block, let seals):
            guard seals.count >= rules.threshold else { return [] }
            self.round = nil
            return [.finish(FinalBlock(block, signatures: seals))]
        }
    }

    private mutating func abandon() -> [Action] {
        round = nil
        return []
    }

    private func sign(_ message: [UInt8]) -> AuthoritySignature {
        AuthoritySignature(authority: UInt8(index), bytes: key.key.sign(message.rawSpan))
    }

    private func isGood(_ block: Block, _ chain: inout LedgerChain, now: UInt64) -> Bool {
        do throws(LedgerRefusal) {
            try chain.check(block, now: now / 1_000)
            return true
        } catch {
            return false
        }
    }

    /// Takes what the authority at `other` answered to `request`; ``advance(_:pool:now:)`` says what follows.
    public mutating func received(_ answer: AuthorityAnswer, to request: AuthorityRequest, from other: Int) {
        guard rules.authorities.indices.contains(other), other != index, var round, request.height == round.height
        else { return }
        switch (request, answer, round.phase) {
        case (.prepare(_, let slot), .promise(let acceptedSlot, let block), .preparing(var promises, var best)):
            guard slot == round.slot, acceptedSlot < slot else { return }
            promises.insert(other)
            if let block, block.height == round.height, acceptedSlot > best?.slot ?? 0 { best = (acceptedSlot, block) }
            round.phase = .preparing(promises, best: best)
        case (.propose(let slot, _), .signature(let bytes), .proposing(let block, var acceptances)):
            guard slot == round.slot, !acceptances.contains(where: { Int($0.authority) == other }) else { return }
            let message = rules.acceptance(height: block.height, slot: slot, hash: block.hash)
            guard SigningKey.verify(bytes.rawSpan, of: message.rawSpan, by: rules.authorities[other].key) else {
                return
            }
            acceptances.append(AuthoritySignature(authority: UInt8(other), bytes: bytes))
            round.phase = .proposing(block, acceptances)
        case (.commit(_, let slot, _, _), .signature(let bytes), .committing(let block, var seals)):
            guard slot == round.slot, !seals.contains(where: { Int($0.authority) == other }) else { return }
            let message = rules.seal(height: block.height, hash: block.hash)
            guard SigningKey.verify(bytes.rawSpan, of: message.rawSpan, by: rules.authorities[other].key) else {
                return
            }
            seals.append(AuthoritySignature(authority: UInt8(other), bytes: bytes))
            round.phase = .committing(block, seals)
        default: return
        }
        self.round = round
    }

    // MARK: The others

    /// Answers what the authority at `other` asks; a vote that is returned must be on disk before the answer leaves.
    public mutating func answer(
        _ request: AuthorityRequest, from other: Int, _ chain: inout LedgerChain, now: UInt64
    ) -> (keep: AuthorityVote?, answer: AuthorityAnswer) {
        follow(chain)
        func refuse(_ reason: AuthorityAnswer.Reason) -> (AuthorityVote?, AuthorityAnswer) {
            (nil, .refused(reason, height: chain.height))
        }
        guard other != index, request.height == chain.height + 1, vote.height == request.height else {
            return refuse(.otherHeight)
        }
        switch request {
        case .prepare(_, let slot):
            guard slot > vote.promised, isTurn(of: other, slot, now: now) else { return refuse(.wrongSlot) }
            vote.promised = slot
            return (vote, .promise(slot: vote.acceptedSlot, accepted: vote.accepted))
        case .propose(let slot, let block):
            guard slot >= vote.promised, slot > vote.acceptedSlot || vote.accepted?.hash == block.hash,
                isTurn(of: other, slot, now: now)
            else { return refuse(.wrongSlot) }
            guard vote.signed == nil || vote.signed == block.hash else { return refuse(.signedOther) }
            guard isGood(block, &chain, now: now) else { return refuse(.badBlock) }
            vote.promised = slot
            vote.acceptedSlot = slot
            vote.accepted = block
            let message = rules.acceptance(height: block.height, slot: slot, hash: block.hash)
            return (vote, .signature(sign(message).bytes))
        case .commit(let height, let slot, let hash, let acceptances):
            guard let block = vote.accepted, block.hash == hash else { return refuse(.notAccepted) }
            guard vote.signed == nil || vote.signed == hash else { return refuse(.signedOther) }
            do throws(LedgerRefusal) {
                try rules.check(acceptances, over: rules.acceptance(height: height, slot: slot, hash: hash))
            } catch {
                return refuse(.notAccepted)
            }
            vote.signed = hash
            return (vote, .signature(sign(rules.seal(height: height, hash: hash)).bytes))
        }
    }

    /// Whether the authority at `other` leads in `slot`, which is not ahead of the clock by more than clocks may differ.
    private func isTurn(of other: Int, _ slot: UInt64, now: UInt64) -> Bool {
        rules.leader(of: slot) == other && slot <= rules.slot(at: now + LedgerRules.clockTolerance * 1_000)
    }
}
