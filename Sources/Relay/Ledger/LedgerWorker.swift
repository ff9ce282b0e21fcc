internal import Directory
internal import Links
internal import OnionCrypto
internal import Registry
internal import Store
internal import Wire

/// The operations that a ledger needs of its file.
///
/// Every write is on disk when its call returns.
protocol LedgerDisk: AnyObject {
    func state() throws(StoreError) -> (height: UInt64, bytes: [UInt8])?
    func blocks(above height: UInt64, limit: Int, byteLimit: Int) throws(StoreError) -> [[UInt8]]
    func acceptor() throws(StoreError) -> [UInt8]?
    func add(_ block: [UInt8], at height: UInt64, state: [UInt8]?) throws(StoreError)
    func setAcceptor(_ bytes: [UInt8]) throws(StoreError)
}

extension LedgerStore: LedgerDisk {}

/// The node's ledger and its file, on another thread than the loop's; it takes events and returns effects for the loop.
///
/// `@unchecked Sendable`: one job at a time uses it. `LedgerService` begins the next job only when the last one has
/// completed.
final class LedgerWorker: @unchecked Sendable {
    /// An event for the ledger.
    enum Event: Sendable {
        case tick
        case announced(UInt64, NodeID)
        case answered(UInt64, [UInt8]?, from: NodeID?)
        case asked(LedgerMessage, [UInt8], NodeID?, ControlResponder)
        case submit(RegistryOperation, UInt64)
    }

    /// A task for the loop.
    enum Effect: Sendable {
        case ask(LedgerNode.Receiver, LedgerMessage, [UInt8], UInt64)
        case answer(ControlResponder, [UInt8]?)
        case announce(UInt64)
        case submitted(UInt64, SubmitResult)
        case warn(LedgerWarning)
        /// The file could not be written.
        ///
        /// Nothing is accepted or signed until it can be written again.
        case fail(LedgerFailure)
        /// The file can be written again.
        ///
        /// Gives the state on disk, and the snapshots of the last epochs, oldest first.
        case recovered(RegistryState, [Snapshot])
        /// The number of requests among authorities that were refused because clocks differ.
        case clockRefusals(UInt64)
        /// The chain has grown or its problem has changed.
        ///
        /// Gives the state after the last block, and the snapshots of the last epochs, oldest first.
        case grew(RegistryState, [Snapshot], problem: LedgerWarning?, waiting: Int)
    }

    /// The pause after the first write that failed, and the longest pause, in milliseconds.
    static let pause = (first: UInt64(1_000), longest: UInt64(60_000))

    private var node: LedgerNode
    private let store: (any LedgerDisk)?
    private let rules: LedgerRules
    private let epochSeconds: UInt64
    /// The time of the next attempt after a write that failed, and the length of the pause before it.
    private var failure: (next: UInt64, pause: UInt64)?
    /// The pause before the last recovery, and the time until which a new failure continues with twice that pause.
    private var last: (pause: UInt64, until: UInt64) = (0, 0)

    /// The ledger of `node`, continued from `store`; with a `key` the node is an authority.
    init(
        rules: LedgerRules, first: [FinalBlock], epochSeconds: UInt64, node: NodeID, key: consuming SigningKey?,
        store: (any LedgerDisk)?, now: UInt64
    ) throws {
        self.store = store
        self.rules = rules
        self.epochSeconds = epochSeconds
        let kept: (LedgerChain, EpochSnapshots, AcceptorState?)
        do throws(LedgerFailure) {
            kept = try Self.read(store, rules, epochSeconds)
        } catch {
            throw error.cause
        }
        var (chain, epochs, acceptor) = kept
        for block in first where block.block.height > chain.height {
            do throws(LedgerRefusal) {
                try chain.append(block, now: now)
            } catch {
                throw LedgerError.wrongStart(error)
            }
            epochs.follow(chain.state)
            try store?.add(block.encoded(), at: chain.height, state: nil)
        }
        var authority: Authority?
        if let key {
            authority = Authority(rules, key: key, kept: acceptor)
            guard authority != nil else { throw LedgerError.notAuthority }
        }
        self.node = LedgerNode(node: node, chain: chain, epochs: epochs, authority: authority)
    }

    /// Reads and checks the chain, its epochs and an authority's acceptor state from the disk.
    private static func read(
        _ store: (any LedgerDisk)?, _ rules: LedgerRules, _ epochSeconds: UInt64
    ) throws(LedgerFailure) -> (LedgerChain, EpochSnapshots, AcceptorState?) {
        var chain = try start(store, rules)
        var epochs = EpochSnapshots(seconds: epochSeconds)
        epochs.follow(chain.state)
        while true {
            let height = chain.height
            let blocks = try LedgerFailure.ofFile { () throws(StoreError) in
                try store?.blocks(above: height, limit: 100, byteLimit: .max) ?? []
            }
            guard !blocks.isEmpty else { break }
            for bytes in blocks {
                do throws(LedgerRefusal) {
                    // The block's time was checked when it arrived. A clock that is slow now must not make the file
                    // count as damaged.
                    try chain.append(FinalBlock(orRefusal: bytes), now: RegistryState.timeLimit)
                } catch {
                    throw .content(.damaged(.block(error)))
                }
                epochs.follow(chain.state)
            }
        }
        guard let kept = try LedgerFailure.ofFile({ () throws(StoreError) in try store?.acceptor() }) else {
            return (chain, epochs, nil)
        }
        do throws(WireError) {
            return (chain, epochs, try AcceptorState(decoding: kept.rawSpan))
        } catch {
            throw .content(.damaged(.acceptor(error)))
        }
    }

    /// The chain at the newest state that the disk has, or before its first block.
    private static func start(
        _ store: (any LedgerDisk)?, _ rules: LedgerRules
    ) throws(LedgerFailure) -> LedgerChain {
        guard let state = try LedgerFailure.ofFile({ () throws(StoreError) in try store?.state() }) else {
            return LedgerChain(rules)
        }
        guard state.height > 0 else { throw .content(.damaged(.stateOfNoBlock)) }
        let block = try LedgerFailure.ofFile { () throws(StoreError) in
            try store?.blocks(above: state.height - 1, limit: 1, byteLimit: .max).first ?? []
        }
        let registry: RegistryState
        do throws(WireError) {
            registry = try RegistryState(decoding: state.bytes.rawSpan)
        } catch {
            throw .content(.damaged(.state(error)))
        }
        do throws(LedgerRefusal) {
            return try LedgerChain(rules, block: FinalBlock(orRefusal: block), state: registry)
        } catch {
            throw .content(.damaged(.block(error)))
        }
    }

    /// The registry after the last block.
    var state: RegistryState { node.chain.state }
    /// The snapshots at the beginnings of the last epochs, oldest first.
    var snapshots: [Snapshot] { node.epochs.snapshots }

    /// Handles events in order; `now` is in milliseconds since 1970.
    ///
    /// If a write fails, its consequences do not happen, and all requests are refused. After a pause, which doubles
    /// with each failure, the ledger continues from the state on disk, as a new process would.
    func handle(_ events: [Event], now: UInt64) -> [Effect] {
        var effects: [Effect] = []
        if let failure {
            // The second condition is true if the clock was set back.
            if now >= failure.next || failure.next - now > Self.pause.longest {
                goOn(after: failure.pause, &effects, now: now)
            }
            if self.failure != nil { return effects + events.compactMap(Self.refusal(of:)) }
        }
        let before = node.chain.height
        let problem = node.problem
        let clockRefusals = node.clockRefusals
        for (place, event) in events.enumerated() {
            do throws(StoreError) {
                try handle(event, &effects, now: now)
            } catch {
                let pause = now < last.until ? min(last.pause * 2, Self.pause.longest) : Self.pause.first
                failure = (now + pause, pause)
                effects.append(.fail(.file(error)))
                return effects + events[place...].compactMap(Self.refusal(of:))
            }
        }
        if node.clockRefusals != clockRefusals { effects.append(.clockRefusals(node.clockRefusals)) }
        if node.chain.height > before || node.problem != problem {
            effects.append(.grew(state, snapshots, problem: node.problem, waiting: node.waitingCount))
        }
        return effects
    }

    /// The effect of an event while nothing can be written: a request is refused.
    private static func refusal(of event: Event) -> Effect? {
        switch event {
        case .asked(_, _, _, let responder): .answer(responder, nil)
        case .submit(_, let id): .submitted(id, .timedOut)
        case .tick, .announced, .answered: nil
        }
    }

    /// Reads the state on disk and continues from it, if the file can be written again.
    private func goOn(after pause: UInt64, _ effects: inout [Effect], now: UInt64) {
        do throws(LedgerFailure) {
            let (chain, epochs, acceptor) = try Self.read(store, rules, epochSeconds)
            // Writing the present acceptor state again changes nothing, and shows whether the disk accepts a write.
            do throws(StoreError) {
                try store?.setAcceptor((acceptor ?? AcceptorState(height: chain.height + 1)).encoded())
            } catch {
                throw .file(error)
            }
            node.restart(chain: chain, epochs: epochs, acceptor: acceptor)
            failure = nil
            last = (pause, now + 2 * Self.pause.longest)
            effects.append(.recovered(state, snapshots))
        } catch {
            let next = min(pause * 2, Self.pause.longest)
            failure = (now + next, next)
            effects.append(.fail(error))
        }
    }

    private func handle(_ event: Event, _ effects: inout [Effect], now: UInt64) throws(StoreError) {
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
        _ message: LedgerMessage, _ body: [UInt8], _ other: NodeID?, _ effects: inout [Effect], now: UInt64
    ) throws(StoreError) -> [UInt8]? {
        let span = body.rawSpan
        switch message {
        case .submit:
            guard let operation = try? RegistryOperation(decoding: span) else { return nil }
            return node.received(operation, now: now)?.encoded()
        case .prepare: return try answer(try? AuthorityRequest(decodingPrepare: span), other, &effects, now: now)
        case .propose: return try answer(try? AuthorityRequest(decodingPropose: span), other, &effects, now: now)
        case .commit: return try answer(try? AuthorityRequest(decodingCommit: span), other, &effects, now: now)
        case .final:
            guard let final = try? FinalBlock(decoding: span), let other else { return nil }
            try perform(node.received(final, from: other, now: now), &effects)
            return []
        // The loop handles these itself.
        case .getBlocks, .announce: return nil
        }
    }

    /// The answer to a request of an authority about the next block; nil refuses it.
    private func answer(
        _ request: AuthorityRequest?, _ other: NodeID?, _ effects: inout [Effect], now: UInt64
    ) throws(StoreError) -> [UInt8]? {
        guard let request, let other, let (actions, answer) = node.received(request, from: other, now: now) else {
            return nil
        }
        try perform(actions, &effects)
        return answer.encoded()
    }

    /// Performs the writes in order, and leaves the other actions to the loop.
    ///
    /// The actions after a failed write do not happen.
    private func perform(_ actions: [LedgerNode.Action], _ effects: inout [Effect]) throws(StoreError) {
        for action in actions {
            switch action {
            case .keepAcceptor(let acceptor): try store?.setAcceptor(acceptor.encoded())
            case .keepBlock(let block, let state):
                try store?.add(block.encoded(), at: block.block.height, state: state?.encoded())
            case .ask(let target, let request, let id):
                let (message, body) = Self.message(of: request)
                effects.append(.ask(target, message, body, id))
            case .announce(let height): effects.append(.announce(height))
            case .submitted(let id, let result): effects.append(.submitted(id, result))
            case .warn(let warning): effects.append(.warn(warning))
            }
        }
    }

    private static func message(of request: LedgerRequest) -> (LedgerMessage, [UInt8]) {
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
