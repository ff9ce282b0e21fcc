internal import Wire

// How an authority answers the leaders of other slots.

extension Authority {
    /// Answers a request of the authority at `other`; a returned acceptor state must be on disk before the answer is
    /// sent.
    public mutating func answer(
        _ request: AuthorityRequest, from other: Int, _ chain: inout LedgerChain, now: UInt64
    ) -> (keep: AcceptorState?, answer: AuthorityAnswer) {
        follow(chain)
        guard other != index, request.height == chain.height + 1, acceptor.height == request.height else {
            return (nil, .refused(.otherHeight, height: chain.height))
        }
        let slot = request.slot
        // After a spoilt slot no check of a block is spent on this slot or a lower one.
        guard chain.leader(of: slot) == other, slot > spoiltSlots[other, default: 0] else {
            return (nil, .refused(.wrongSlot, height: chain.height))
        }
        let present = rules.slot(at: now)
        guard slot <= present + 1 else { return (nil, .refused(.wrongTime, height: chain.height)) }
        // A promise costs a write, and a proposal may cost a check of a block. So both are for the present: a leader
        // has millions of past slots. A COMMIT is for the slot of the accepted block alone.
        let isOver: Bool
        switch request {
        case .prepare, .propose: isOver = slot + 1 < present
        case .commit: isOver = false
        }
        guard slot >= acceptor.promised, !isOver else {
            // Rounds begin in the present slot. If the slot of a PREPARE is long over, the other clock is wrong.
            let isOfClock = if case .prepare = request { isOver } else { false }
            return (nil, .refused(isOfClock ? .wrongTime : .wrongSlot, height: chain.height))
        }
        let before = acceptor
        let result: AuthorityAnswer
        switch request {
        case .prepare: result = promise(slot, chain)
        case .propose(_, let certificate, let block):
            result = accept(block, certificate, slot, from: other, &chain, now: now)
        case .commit(_, let hash, let certificate): result = sign(hash, certificate, from: other, chain)
        }
        return (acceptor == before ? nil : acceptor, result)
    }

    private mutating func promise(_ slot: UInt64, _ chain: LedgerChain) -> AuthorityAnswer {
        guard slot > acceptor.promised else { return .refused(.wrongSlot, height: chain.height) }
        acceptor.promised = slot
        return .promise(acceptor.lock)
    }

    /// Accepts a block in a slot; an authority accepts at most one block in a slot.
    private mutating func accept(
        _ block: Block, _ certificate: Certificate?, _ slot: UInt64, from other: Int, _ chain: inout LedgerChain,
        now: UInt64
    ) -> AuthorityAnswer {
        let acceptance = rules.acceptance(height: block.height, slot: slot, hash: block.hash)
        if slot == acceptor.acceptedSlot, block.hash == acceptor.accepted?.hash {
            return .signature(sign(acceptance).bytes)
        }
        guard slot > acceptor.acceptedSlot else { return .refused(.wrongSlot, height: chain.height) }
        // A certificate of a slot above the lock's releases the lock.
        if let lock = acceptor.lock, block.hash != lock.block.hash, certificate?.slot ?? 0 <= lock.slot {
            return .refused(.locked, height: chain.height)
        }
        let seconds = now / 1_000
        let isDue = seconds + rules.slotSeconds >= chain.state.time + rules.blockSeconds
        // The time of a block decides when the next one is due.
        let isTimely = block.time <= seconds + rules.slotSeconds && seconds <= block.time + rules.slotSeconds
        if certificate == nil, Int(block.maker) == other, !isTimely {
            spoiltSlots[other] = slot
            return .refused(.wrongTime, height: chain.height)
        }
        let isOrigin =
            if let certificate {
                certificate.slot < slot && rules.isGood(certificate, height: block.height, hash: block.hash)
            } else {
                Int(block.maker) == other && isDue
            }
        guard isOrigin, isGood(block, &chain, now: now) else {
            spoiltSlots[other] = slot
            return .refused(.badBlock, height: chain.height)
        }
        acceptor.promised = slot
        acceptor.acceptedSlot = slot
        acceptor.accepted = block
        if let certificate, certificate.slot > acceptor.certificate?.slot ?? 0 { acceptor.certificate = certificate }
        return .signature(sign(acceptance).bytes)
    }

    /// Locks on the block that was accepted in the certificate's slot, and signs it.
    private mutating func sign(
        _ hash: Bytes32, _ certificate: Certificate, from other: Int, _ chain: LedgerChain
    ) -> AuthorityAnswer {
        guard certificate.slot == acceptor.acceptedSlot, acceptor.accepted?.hash == hash else {
            return .refused(.notAccepted, height: chain.height)
        }
        if acceptor.certificate?.slot != certificate.slot {
            guard rules.isGood(certificate, height: acceptor.height, hash: hash) else {
                spoiltSlots[other] = certificate.slot
                return .refused(.notAccepted, height: chain.height)
            }
            acceptor.certificate = certificate
        }
        return .signature(sign(rules.seal(height: acceptor.height, slot: certificate.slot, hash: hash)).bytes)
    }
}
