internal import OnionCrypto
public import Wire

/// A node's part in the ledger: it follows the chain, hands in operations, and is an authority where it has the key of one.
///
/// A state machine without I/O: events and the time (milliseconds since 1970) go in, actions come out. They are to be done in their
/// order; one that cannot be done ends the list, so that nothing goes out that is not on disk.
public struct LedgerNode {
    /// What is to be done.
    public enum Action: Hashable, Sendable {
        /// To put an authority's vote on disk.
        case keepVote(AuthorityVote)
        /// To put a block on disk, and now and then the state after it; the chain has it already.
        case keepBlock(FinalBlock, RegistryState?)
        /// To ask this node, or for nil any other; the answer, or nil, goes to ``answered(_:_:now:)`` with this number.
        case ask(NodeID?, LedgerRequest, UInt64)
        /// To tell neighbours of the chain's height.
        case announce(height: UInt64)
        /// What became of the operation that was submitted with this number.
        case submitted(UInt64, SubmitResult)
        /// To say to the operator that a source of blocks is not to be trusted, or that the authorities are at odds.
        case warn(String)
    }

    /// How long an operation may wait for a block, in milliseconds, beside two blocks.
    static let submitTime: UInt64 = 30_000
    /// How many operations of this node may wait for a block.
    static let submitLimit = 256

    /// After how many blocks the whole state goes to disk.
    static let stateInterval: UInt64 = 32

    private struct Submission {
        let operation: RegistryOperation
        let hash: Bytes32
        let deadline: UInt64
        /// How many authorities have not answered yet.
        var asked = 0
        var isWaiting = false
        var refusal: (name: String, height: UInt64)?
        var nextTry: UInt64
    }

    private enum Question {
        case blocks(from: NodeID?)
        case submit(UInt64)
        case authority(AuthorityRequest, Int)
    }

    private let rules: LedgerRules
    /// This node.
    public let node: NodeID
    /// The chain.
    public private(set) var chain: LedgerChain
    /// The snapshots of the last epochs.
    public private(set) var epochs: EpochSnapshots
    private var authority: Authority?
    private var pool = OperationPool()
    private var questions: [UInt64: Question] = [:]
    private var nextQuestion: UInt64 = 1
    private var submissions: [UInt64: Submission] = [:]
    private var isFetching = false
    private var nextPoll: UInt64 = 0
    /// The newest warning that still holds; a block that is taken ends it.
    public private(set) var problem: String?

    /// The node `node` with its chain and the epochs on it, as they were kept, and its part as an authority, if it is one.
    public init(node: NodeID, chain: LedgerChain, epochs: EpochSnapshots, authority: Authority?) {
        self.epochs = epochs
        rules = chain.rules
        self.node = node
        self.chain = chain
        self.authority = authority
    }

    /// Whether this node is an authority.
    public var isAuthority: Bool { authority != nil }
    /// How many operations wait at this authority.
    public var waitingCount: Int { pool.count }

    // MARK: Time

    /// Does what is due; to be called at least once a second, by an authority several times.
    public mutating func tick(now: UInt64) -> [Action] {
        var actions: [Action] = []
        if let steps = authority?.tick(chain, now: now) { carryOut(steps, &actions, now: now) }
        if now >= nextPoll, !isFetching {
            // Also where every neighbour's word of a new block was lost.
            nextPoll = now + max(1_000, rules.blockSeconds * 1_000)
            if now / 1_000 >= chain.state.time + rules.blockSeconds { fetch(from: nil, &actions) }
        }
        for id in submissions.keys.sorted() { check(id, &actions, now: now) }
        return actions
    }

    // MARK: The chain

    /// A neighbour's chain has this height.
    public mutating func announced(_ height: UInt64, by other: NodeID, now: UInt64) -> [Action] {
        var actions: [Action] = []
        if height > chain.height, !isFetching { fetch(from: other, &actions) }
        return actions
    }

    private mutating func fetch(from other: NodeID?, _ actions: inout [Action]) {
        isFetching = true
        ask(other, .blocks(above: chain.height), .blocks(from: other), &actions)
    }

    private mutating func ask(
        _ other: NodeID?, _ request: LedgerRequest, _ question: Question, _ actions: inout [Action]
    ) {
        questions[nextQuestion] = question
        actions.append(.ask(other, request, nextQuestion))
        nextQuestion += 1
    }

    private mutating func take(_ body: [UInt8], from other: NodeID?, _ actions: inout [Action], now: UInt64) {
        let blocks: [FinalBlock]
        do throws(WireError) {
            blocks = try FinalBlock.decodeList(body.rawSpan)
        } catch {
            return warn(.unreadable, &actions)
        }
        let before = chain.height
        for block in blocks {
            // Between question and answer the block may have come from elsewhere.
            if block.block.hash == chain.head { continue }
            guard append(block, &actions, now: now) else { return }
        }
        if chain.height > before {
            actions.append(.announce(height: chain.height))
            fetch(from: other, &actions)
        }
    }

    /// Appends a block and follows it; whether it was taken.
    private mutating func append(_ block: FinalBlock, _ actions: inout [Action], now: UInt64) -> Bool {
        do throws(LedgerRefusal) {
            try chain.append(block, now: now / 1_000)
        } catch {
            if error != .alreadyThere { warn(error, &actions) }
            return error == .alreadyThere
        }
        problem = nil
        epochs.follow(chain.state)
        actions.append(.keepBlock(block, chain.height % Self.stateInterval == 0 ? chain.state : nil))
        if authority != nil { pool.follow(chain, now: now / 1_000) }
        if !submissions.isEmpty {
            let applied = Set(block.block.operations.map(OperationPool.hash(of:)))
            for (id, submission) in submissions where applied.contains(submission.hash) {
                submissions[id] = nil
                actions.append(.submitted(id, .applied(height: block.block.height)))
            }
        }
        return true
    }

    private mutating func warn(_ refusal: LedgerRefusal, _ actions: inout [Action]) {
        let text = "A block of the ledger was refused: \(refusal)."
        if problem != text { actions.append(.warn(text)) }
        problem = text
    }

    // MARK: Operations

    /// Hands in an operation; `id`, which is not used twice, comes back with what became of it.
    public mutating func submit(_ operation: RegistryOperation, id: UInt64, now: UInt64) -> [Action] {
        guard submissions.count < Self.submitLimit else { return [.submitted(id, .refused("blockFull"))] }
        submissions[id] = Submission(
            operation: operation, hash: OperationPool.hash(of: operation),
            deadline: now + Self.submitTime + 2_000 * rules.blockSeconds, nextTry: now)
        var actions: [Action] = []
        check(id, &actions, now: now)
        return actions
    }

    private mutating func check(_ id: UInt64, _ actions: inout [Action], now: UInt64) {
        guard var submission = submissions[id] else { return }
        // A refusal may come of the operation being in a block that is not here yet.
        if submission.asked == 0, !submission.isWaiting, let refusal = submission.refusal,
            chain.height >= refusal.height
        {
            submissions[id] = nil
            actions.append(.submitted(id, .refused(refusal.name)))
        } else if now >= submission.deadline {
            submissions[id] = nil
            actions.append(.submitted(id, .timedOut))
        } else if now >= submission.nextTry {
            submission.nextTry = now + 2_000 * rules.blockSeconds + 2_000
            submission.isWaiting = false
            submission.refusal = nil
            submission.asked = 0
            for authority in rules.authorities where authority.node != node {
                submission.asked += 1
                ask(authority.node, .submit(submission.operation), .submit(id), &actions)
            }
            if isAuthority {
                submission.asked += 1
                submissions[id] = submission
                return answered(id, take(submission.operation, now: now), &actions, now: now)
            }
            submissions[id] = submission
        }
    }

    private mutating func answered(
        _ id: UInt64, _ answer: SubmitAnswer?, _ actions: inout [Action], now: UInt64
    ) {
        guard var submission = submissions[id], submission.asked > 0 else { return }
        submission.asked -= 1
        if let answer {
            if let name = answer.refusal {
                submission.refusal = (name, max(answer.height, submission.refusal?.height ?? 0))
            } else {
                submission.isWaiting = true
            }
        }
        // Nobody could be asked: soon again.
        if submission.asked == 0, !submission.isWaiting, submission.refusal == nil { submission.nextTry = now + 1_000 }
        submissions[id] = submission
        if submission.asked == 0, submission.refusal != nil { check(id, &actions, now: now) }
    }

    /// Takes an operation for a block, where this node is an authority.
    private mutating func take(_ operation: RegistryOperation, now: UInt64) -> SubmitAnswer {
        do throws(RegistryRefusal) {
            try pool.add(operation, to: chain, now: now / 1_000)
            return SubmitAnswer(refusal: nil, height: chain.height)
        } catch {
            return SubmitAnswer(refusal: error.name, height: chain.height)
        }
    }

    // MARK: Questions and answers

    /// Answers an operation that another node hands in; nil where this node is no authority.
    public mutating func received(_ operation: RegistryOperation, now: UInt64) -> SubmitAnswer? {
        isAuthority ? take(operation, now: now) : nil
    }

    /// Answers another authority; nil where one of both is none.
    ///
    /// The actions come before the answer.
    public mutating func received(
        _ request: AuthorityRequest, from other: NodeID, now: UInt64
    ) -> (actions: [Action], answer: AuthorityAnswer)? {
        guard authority != nil, let index = rules.authority(at: other) else { return nil }
        let (vote, answer) = authority!.answer(request, from: index, &chain, now: now)
        var actions: [Action] = vote.map { [.keepVote($0)] } ?? []
        if request.height > chain.height + 1 { actions += announced(request.height - 1, by: other, now: now) }
        return (actions, answer)
    }

    /// Takes the answer to a question, nil where there was none.
    public mutating func answered(_ id: UInt64, _ body: [UInt8]?, now: UInt64) -> [Action] {
        var actions: [Action] = []
        switch questions.removeValue(forKey: id) {
        case nil: break
        case .blocks(let other):
            isFetching = false
            if let body { take(body, from: other, &actions, now: now) }
        case .submit(let submission):
            let answer = body.flatMap { try? SubmitAnswer(decoding: $0.rawSpan) }
            answered(submission, answer, &actions, now: now)
        case .authority(let request, let index):
            guard let answer = body.flatMap({ try? AuthorityAnswer(decoding: $0.rawSpan) }) else { break }
            if case .refused(_, let height) = answer, height > chain.height, !isFetching {
                fetch(from: rules.authorities[index].node, &actions)
            }
            authority?.received(answer, to: request, from: index)
            carryOut([], &actions, now: now)
        }
        return actions
    }

    /// Turns an authority's steps to actions, and goes on as long as there are more.
    private mutating func carryOut(_ steps: [Authority.Action], _ actions: inout [Action], now: UInt64) {
        var steps = steps
        while true {
            for step in steps {
                switch step {
                case .keep(let vote): actions.append(.keepVote(vote))
                case .ask(let request, let others):
                    for other in others {
                        ask(
                            rules.authorities[other].node, .authority(request), .authority(request, other), &actions)
                    }
                case .finish(let block):
                    if append(block, &actions, now: now) { actions.append(.announce(height: chain.height)) }
                }
            }
            steps = authority?.advance(&chain, pool: pool, now: now) ?? []
            if steps.isEmpty { return }
        }
    }
}
