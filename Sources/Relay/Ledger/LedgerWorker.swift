internal import Directory
internal import Links
internal import OnionCrypto
internal import Registry
internal import Store
internal import Wire

/// The node's ledger and its file, away from the loop: events go in, what the loop has to do comes out.
///
/// `@unchecked Sendable`: one job at a time works with it, as `LedgerService` begins the next only when the last has completed.
final class LedgerWorker: @unchecked Sendable {
    /// What happened.
    enum Event: Sendable {
        case tick
        case announced(UInt64, NodeID)
        case answered(UInt64, [UInt8]?, from: NodeID?)
        case asked(ControlMessage, [UInt8], NodeID?, ControlResponder)
        case submit(RegistryOperation, UInt64)
    }

    /// What the loop has to do.
    enum Effect: Sendable {
        case ask(LedgerNode.Target, ControlMessage, [UInt8], UInt64)
        case answer(ControlResponder, [UInt8]?)
        case announce(UInt64)
        case submitted(UInt64, SubmitResult)
        case warn(String)
        case fail(String)
        /// The chain has grown: the state after its last block, and the snapshots of the last epochs, oldest first.
        case grew(RegistryState, [Snapshot], problem: String?, waiting: Int)
    }

    private var node: LedgerNode
    private let store: LedgerStore?
    private var hasFailed = false

    /// The ledger of `node`, as it was kept in `store`; an authority's if `key` is one's.
    init(
        rules: LedgerRules, first: [FinalBlock], epochSeconds: UInt64, node: NodeID, key: consuming SigningKey?,
        store: LedgerStore?, now: UInt64
    ) throws {
        self.store = store
        var chain = LedgerChain(rules)
        var epochs = EpochSnapshots(seconds: epochSeconds)
        if let state = try store?.state() {
            guard state.height > 0 else { throw LedgerError.damaged("a state before the first block") }
            let kept = try store?.blocks(above: state.height - 1, limit: 1, byteLimit: .max).first ?? []
            do {
                chain = try LedgerChain(
                    rules, block: FinalBlock(decoding: kept.rawSpan),
                    state: RegistryState(decoding: state.bytes.rawSpan))
            } catch {
                throw LedgerError.damaged("\(error)")
            }
        }
        epochs.follow(chain.state)
        while let blocks = try store?.blocks(above: chain.height, limit: 100, byteLimit: .max), !blocks.isEmpty {
            do {
                for bytes in blocks {
                    // Its time was looked at when it came. A clock that is slow now damages no file.
                    try chain.append(FinalBlock(decoding: bytes.rawSpan), now: RegistryState.timeLimit)
                    epochs.follow(chain.state)
                }
            } catch {
                throw LedgerError.damaged("\(error)")
            }
        }
        for block in first where block.block.height > chain.height {
            do {
                try chain.append(block, now: now)
            } catch {
                throw LedgerError.wrongStart("\(error)")
            }
            epochs.follow(chain.state)
            try store?.add(block.encoded(), at: chain.height, state: nil)
        }
        var authority: Authority?
        if let key {
            var vote: AuthorityVote?
            if let bytes = try store?.vote() {
                do {
                    vote = try AuthorityVote(decoding: bytes.rawSpan)
                } catch {
                    throw LedgerError.damaged("the vote: \(error)")
                }
            }
            authority = Authority(rules, key: key, kept: vote)
            guard authority != nil else { throw LedgerError.notAuthority }
        }
        self.node = LedgerNode(node: node, chain: chain, epochs: epochs, authority: authority)
    }

    /// The registry after the last block.
    var state: RegistryState { node.chain.state }
    /// The snapshots at the beginnings of the last epochs, oldest first.
    var snapshots: [Snapshot] { node.epochs.snapshots }

    /// Takes events in their order; `now` is in milliseconds since 1970.
    func handle(_ events: [Event], now: UInt64) -> [Effect] {
        guard !hasFailed else {
            return events.compactMap {
                if case .asked(_, _, _, let responder) = $0 { .answer(responder, nil) } else { nil }
            }
        }
        let before = node.chain.height
        let problem = node.problem
        var effects: [Effect] = []
        do {
            for event in events { try handle(event, &effects, now: now) }
        } catch {
            hasFailed = true
            effects.append(.fail("\(error)"))
        }
        if node.chain.height > before || node.problem != problem {
            effects.append(.grew(state, snapshots, problem: node.problem, waiting: node.waitingCount))
        }
        return effects
    }

    private func handle(_ event: Event, _ effects: inout [Effect], now: UInt64) throws {
        switch event {
        case .tick: try perform(node.tick(now: now), &effects)
        case .announced(let height, let other): try perform(node.announced(height, by: other, now: now), &effects)
        case .answered(let id, let body, let other):
            try perform(node.answered(id, body, from: other, now: now), &effects)
        case .submit(let operation, let id): try perform(node.submit(operation, id: id, now: now), &effects)
        case .asked(let message, let body, let other, let responder):
            effects.append(.answer(responder, try answer(message, body, other, &effects, now: now)))
        }
    }

    /// The answer to a control message; nil refuses it.
    private func answer(
        _ message: ControlMessage, _ body: [UInt8], _ other: NodeID?, _ effects: inout [Effect], now: UInt64
    ) throws -> [UInt8]? {
        let span = body.rawSpan
        switch message {
        case .submit:
            guard let operation = try? RegistryOperation(decoding: span) else { return nil }
            return node.received(operation, now: now)?.encoded()
        case .prepare, .propose, .commit:
            let request: AuthorityRequest? =
                switch message {
                case .prepare: try? AuthorityRequest(decodingPrepare: span)
                case .propose: try? AuthorityRequest(decodingPropose: span)
                default: try? AuthorityRequest(decodingCommit: span)
                }
            guard let request, let other, let (actions, answer) = node.received(request, from: other, now: now) else {
                return nil
            }
            try perform(actions, &effects)
            return answer.encoded()
        case .final:
            guard let final = try? FinalBlock(decoding: span), let other else { return nil }
            try perform(node.received(final, from: other, now: now), &effects)
            return []
        default: return nil
        }
    }

    /// Does what concerns the disk, in order, and leaves the rest to the loop; what follows a failed write does not happen.
    private func perform(_ actions: [LedgerNode.Action], _ effects: inout [Effect]) throws {
        for action in actions {
            switch action {
            case .keepVote(let vote): try store?.setVote(vote.encoded())
            case .keepBlock(let block, let state):
                try store?.add(block.encoded(), at: block.block.height, state: state?.encoded())
            case .ask(let target, let request, let id):
                let (message, body) = Self.message(of: request)
                effects.append(.ask(target, message, body, id))
            case .announce(let height): effects.append(.announce(height))
            case .submitted(let id, let result): effects.append(.submitted(id, result))
            case .warn(let text): effects.append(.warn(text))
            }
        }
    }

    private static func message(of request: LedgerRequest) -> (ControlMessage, [UInt8]) {
        switch request {
        case .blocks(let above):
            var writer = ByteWriter(capacity: 8)
            writer.u64(above)
            return (.getBlocks, writer.bytes)
        case .submit(let operation): return (.submit, operation.encoded())
        case .final(let block): return (.final, block.encoded())
        case .authority(let request):
            switch request {
            case .prepare: return (.prepare, request.encoded())
            case .propose: return (.propose, request.encoded())
            case .commit: return (.commit, request.encoded())
            }
        }
    }
}
