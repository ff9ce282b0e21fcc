public import Wire

/// One node's copy of the ledger: the state after the last block, and that block's hash.
///
/// A value type: a method that throws leaves it unchanged.
public struct LedgerChain: Sendable {
    /// The beginning of the ledger, and its authorities.
    public let rules: LedgerRules
    /// The registry after the last block.
    public private(set) var state: RegistryState
    /// The hash of the last block, or the genesis hash.
    public private(set) var head: Bytes32
    /// The last checked block and the state after it, so that a block is not checked twice.
    private var checked: (hash: Bytes32, state: RegistryState)?

    /// The chain without any block.
    public init(_ rules: LedgerRules) {
        self.rules = rules
        state = rules.genesis
        head = rules.genesisHash
    }

    /// The chain that ends with a stored block and the stored state after it; checks the signatures and the digest.
    public init(_ rules: LedgerRules, block: FinalBlock, state: RegistryState) throws(LedgerRefusal) {
        guard block.block.network == rules.network, state.network == rules.network,
            state.parameters == rules.genesis.parameters
        else { throw .otherNetwork }
        try rules.check(
            block.signatures, over: rules.seal(height: block.block.height, slot: block.slot, hash: block.block.hash))
        guard state.height == block.block.height, state.digest == block.block.stateDigest else { throw .wrongState }
        self.rules = rules
        self.state = state
        head = block.block.hash
    }

    /// The height of the last block.
    public var height: UInt64 { state.height }

    /// Appends the next block; `now` is in seconds since 1970.
    public mutating func append(_ final: FinalBlock, now: UInt64) throws(LedgerRefusal) {
        let block = final.block
        guard block.network == rules.network else { throw .otherNetwork }
        guard block.hash != head else { throw .alreadyThere }
        guard block.height <= height + 1 else { throw .gap(expected: height + 1) }
        // Signatures come before forks: a block without valid signatures contradicts nothing.
        try rules.check(final.signatures, over: rules.seal(height: block.height, slot: final.slot, hash: block.hash))
        guard block.height >= height else { throw .rollback(to: block.height) }
        guard block.height > height else { throw .fork(height: block.height) }
        state = try successor(block, now: now)
        head = block.hash
        checked = nil
    }

    /// Checks an unsigned block as the next one, and remembers the state after it.
    mutating func check(_ block: Block, now: UInt64) throws(LedgerRefusal) {
        guard block.network == rules.network else { throw .otherNetwork }
        guard block.height == height + 1 else { throw .gap(expected: height + 1) }
        checked = (block.hash, try successor(block, now: now))
    }

    /// The state after `block`.
    private func successor(_ block: Block, now: UInt64) throws(LedgerRefusal) -> RegistryState {
        guard block.previous == head else { throw .fork(height: block.height) }
        guard block.time <= now + LedgerRules.clockTolerance else { throw .fromTheFuture }
        if let checked, checked.hash == block.hash { return checked.state }
        guard block.time >= state.time else { throw .timeWentBack }
        guard let seed = rules.seed(of: block.proof, maker: block.maker, height: block.height, after: state.seed) else {
            throw .wrongMaker(Int(block.maker))
        }
        var next = state
        do throws(RegistryRefusal) {
            try next.begin(height: block.height, time: block.time, block: block.contentHash, seed: seed)
        } catch {
            throw .begin(error)
        }
        for (place, operation) in block.operations.enumerated() {
            do throws(RegistryRefusal) {
                try next.apply(operation)
            } catch {
                throw .operation(place, error)
            }
        }
        guard next.digest == block.stateDigest else { throw .wrongState }
        return next
    }

    /// The message for which the maker of the next block proves its random value.
    public var proofInput: [UInt8] { rules.proofInput(height: height + 1, after: state.seed) }

    /// The place of the authority that leads in a slot of the next height.
    func leader(of slot: UInt64) -> Int { rules.leader(of: slot, after: state.seed) }

    /// Makes the next block.
    ///
    /// It contains those of `operations` that the rules allow, and the distributions that are due. Its time is `time`
    /// in seconds since 1970, or the previous block's if that is later. `proof` is the maker's for ``proofInput``, and
    /// `random` was drawn by the maker for this block.
    public mutating func draft(
        _ operations: [RegistryOperation], time: UInt64, maker: UInt8, proof: [UInt8], random: Bytes32
    ) -> Block {
        guard let seed = rules.seed(of: proof, maker: maker, height: height + 1, after: state.seed) else {
            preconditionFailure("the proof is not the maker's")
        }
        let time = min(max(time, state.time), RegistryState.timeLimit)
        var included = allowed(operations, time: time)
        while true {
            let content = Block.contentHash(
                network: rules.network, height: height + 1, time: time, previous: head, random: random, maker: maker,
                proof: proof, operations: included)
            var next = state
            var refused: Int?
            do throws(RegistryRefusal) {
                try next.begin(height: height + 1, time: time, block: content, seed: seed)
                for (place, operation) in included.enumerated() {
                    refused = place
                    // An operation that was allowed without a quorum of this height can only be refused here for a
                    // wrong signature.
                    try next.apply(operation)
                }
            } catch {
                // A refused operation is removed, and the content hash changes.
                precondition(refused != nil, "time was held back to what a block may have")
                included.remove(at: refused!)
                continue
            }
            let block = Block(
                network: rules.network, height: height + 1, time: time, previous: head, random: random, maker: maker,
                proof: proof, operations: included, stateDigest: next.digest)
            checked = (block.hash, next)
            return block
        }
    }

    /// Those of `operations` that can be applied in order, within a block's limits.
    private func allowed(_ operations: [RegistryOperation], time: UInt64) -> [RegistryOperation] {
        guard var trial = opened(at: time) else { return [] }
        var list: [RegistryOperation] = []
        var size = 0
        func add(_ operation: RegistryOperation) -> Bool {
            let bytes = operation.encoded().count + 2
            guard size + bytes <= Block.operationBytes else { return false }
            do throws(RegistryRefusal) {
                try trial.applyVerified(operation)
            } catch {
                return false
            }
            size += bytes
            list.append(operation)
            return true
        }
        let distribution = RegistryOperation(unsigned: .distribute, network: rules.network)
        for _ in 0..<10 where trial.isDistributionDue { _ = add(distribution) }
        for operation in operations { _ = add(operation) }
        return list
    }

    /// The state in which a block at `time` in seconds since 1970 is open, whatever its hash.
    ///
    /// It has no quorum of its own height, because the quorum follows from a seed that is not known yet. An operation
    /// that names this height would otherwise be allowed here and refused in the block.
    func opened(at time: UInt64) -> RegistryState? {
        var trial = state
        let zero = Bytes32(copying: [UInt8](repeating: 0, count: 32).rawSpan)
        let time = min(max(time, state.time), RegistryState.timeLimit)
        do throws(RegistryRefusal) {
            try trial.begin(height: height + 1, time: time, block: zero, seed: zero)
        } catch {
            return nil
        }
        trial.quorums.removeLast()
        return trial
    }
}

extension RegistryState {
    /// Whether the rewards of an interval are due.
    var isDistributionDue: Bool { time >= distributedUntil + UInt64(parameters.rewardInterval) }
}
