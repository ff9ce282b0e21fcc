public import OnionCrypto
public import Wire

/// One authority's part in making blocks: a state machine over a chain that its owner keeps (docs/registry.md, "Making
/// blocks").
///
/// For each height the authorities agree on one block, slot by slot, with acceptances, certificates of acceptances, and
/// locks. A returned acceptor state must be on disk before anything after it in the list is sent.
/// `Authority+Answers.swift` has this authority's part in others' slots.
public struct Authority {
    /// A step for the owner; steps must be done in order.
    public enum Action: Hashable, Sendable {
        /// Write the acceptor state to disk.
        case keep(AcceptorState)
        /// Send the request to these authorities.
        case ask(AuthorityRequest, [Int])
        /// Append a final block.
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
            /// The authorities that have answered, those of them that have promised, and the lock of the highest slot
            /// among the promises.
            case preparing(answered: Set<Int>, promised: Set<Int>, best: BlockLock?)
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
    /// Draws 32 bytes for a new block.
    private let draw: () -> Bytes32
    /// This authority's place in the network file.
    public let index: Int
    /// Its acceptor state for the height after the chain's.
    public internal(set) var acceptor: AcceptorState
    /// For each authority that has sent something invalid, the highest slot in which it did.
    ///
    /// It gets no second try in this slot or a lower one, because each costs a check of a block.
    var spoiltSlots: [Int: UInt64] = [:]
    private var round: Round?
    /// The last slot in which this authority began a round.
    private var begun: UInt64 = 0

    /// The authority of `key`, with its last stored acceptor state; nil if the network has no authority with this key.
    ///
    /// `draw` makes the random bytes of a new block: by the system's secure generator, unless a test needs them to
    /// repeat.
    public init?(
        _ rules: LedgerRules, key: consuming SigningKey, kept: AcceptorState?,
        draw: @escaping () -> Bytes32 = { Bytes32(copying: SecureRandom.bytes(32).rawSpan) }
    ) {
        let publicKey = key.publicKey
        guard let index = rules.authorities.firstIndex(where: { $0.key == publicKey }) else { return nil }
        self.rules = rules
        self.index = index
        self.key = Key(key)
        self.draw = draw
        acceptor = kept ?? AcceptorState(height: 1)
    }

    /// Returns to the last stored acceptor state, like a new process: later ones have not left this machine.
    mutating func restart(kept: AcceptorState?) {
        acceptor = kept ?? AcceptorState(height: 1)
        spoiltSlots = [:]
        begun = 0
        round = nil
    }

    private var others: [Int] { rules.authorities.indices.filter { $0 != index } }

    /// Follows the chain to a new height.
    mutating func follow(_ chain: LedgerChain) {
        if acceptor.height <= chain.height {
            acceptor = AcceptorState(height: chain.height + 1)
            spoiltSlots = [:]
            begun = 0
        }
        if let round, round.height <= chain.height { self.round = nil }
    }

    // MARK: The leader

    /// Begins a block if it is due and this authority leads; call it often, with `now` in milliseconds since 1970.
    public mutating func tick(_ chain: LedgerChain, now: UInt64) -> [Action] {
        follow(chain)
        let slot = rules.slot(at: now)
        // An acceptor state for a height beyond the next means that blocks were lost and must be fetched first. In the
        // second half of a slot the time before the next leader begins is too short.
        guard acceptor.height == chain.height + 1, chain.leader(of: slot) == index, slot > acceptor.promised,
            slot != begun,
            now % rules.slotLength < (rules.slotLength + 1) / 2, now / 1_000 >= chain.state.time + rules.blockSeconds
        else { return [] }
        begun = slot
        // Its own promise follows the others'. If its clock is wrong, none of them promises; a promise of a slot far
        // ahead would exclude this authority from the height until then.
        round = Round(
            height: acceptor.height, slot: slot, began: now,
            phase: .preparing(answered: [], promised: [index], best: acceptor.lock))
        return [.ask(.prepare(height: acceptor.height, slot: slot), others)]
    }

    /// Continues if enough have answered, even if that is this authority alone; call it after each tick and answer.
    public mutating func advance(
        _ chain: inout LedgerChain, pool: OperationPool, now: UInt64
    ) -> [Action] {
        guard let round, round.height == chain.height + 1, acceptor.height == round.height else { return [] }
        switch round.phase {
        case .preparing(let answered, let promised, var best):
            // A missing lock may make its holder refuse the block, so all have a quarter of the slot to send theirs.
            guard promised.count >= rules.threshold, acceptor.promised < round.slot,
                answered.count == others.count || now >= round.began + rules.slotLength / 4
            else { return [] }
            // Its own lock may have changed since, in a lower slot.
            if let lock = acceptor.lock, lock.slot > best?.slot ?? 0 { best = lock }
            let block: Block
            if let best {
                guard isGood(best.block, &chain, now: now) else { return abandon() }
                (block, acceptor.certificate) = (best.block, best.certificate)
            } else {
                let proof = key.key.prove(chain.proofInput.rawSpan)
                block = chain.draft(
                    pool.waiting, time: round.began / 1_000, maker: UInt8(index), proof: proof, random: draw())
            }
            acceptor.promised = round.slot
            acceptor.acceptedSlot = round.slot
            acceptor.accepted = block
            let acceptance = sign(rules.acceptance(height: block.height, slot: round.slot, hash: block.hash))
            self.round?.phase = .proposing(block, [acceptance])
            return [.keep(acceptor), .ask(.propose(slot: round.slot, best?.certificate, block), others)]
        case .proposing(let block, let acceptances):
            guard acceptances.count >= rules.threshold, acceptor.promised == round.slot else { return [] }
            let certificate = Certificate(slot: round.slot, acceptances: acceptances)
            acceptor.certificate = certificate
            let seal = sign(rules.seal(height: block.height, slot: round.slot, hash: block.hash))
            self.round?.phase = .committing(block, [seal])
            return [.keep(acceptor), .ask(.commit(height: block.height, hash: block.hash, certificate), others)]
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

    /// Handles the answer of the authority at `other` to `request`, nil if there was none; ``advance(_:pool:now:)``
    /// returns the next steps.
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
        // An answer of a phase that is over.
        case (.prepare, .proposing), (.prepare, .committing), (.propose, .preparing), (.propose, .committing),
            (.commit, .preparing), (.commit, .proposing):
            return
        }
        self.round = round
    }

    /// Whether a promise's lock may be used for `round`.
    ///
    /// A lock of a slot up to `slot` is not used, so it is not checked. A later one must be of the round's height and
    /// an earlier slot than the round's, with a valid certificate.
    private func isGood(_ lock: BlockLock?, above slot: UInt64, _ round: Round) -> Bool {
        guard let lock, lock.slot > slot else { return true }
        return lock.slot < round.slot && lock.block.height == round.height
            && rules.isGood(lock.certificate, height: round.height, hash: lock.block.hash)
    }

    /// Adds an answer's signature, if it has one that is valid and the first of `other`.
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
