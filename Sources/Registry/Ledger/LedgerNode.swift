// One file: every event of the state machine, whose state is private to it.

internal import OnionCrypto
public import Wire

/// A node's part in the ledger: it follows the chain, submits operations, and is an authority if it has the key of one.
///
/// A state machine without I/O: events and the time (milliseconds since 1970) go in, actions come out. Actions must be
/// done in order; one that fails ends the list, so that nothing is sent that is not on disk.
///
/// It has more members than most types, because every event may read or change all of them.
public struct LedgerNode {
    /// A step for the owner.
    public enum Action: Hashable, Sendable {
        /// Write an authority's acceptor state to disk.
        case keepAcceptor(AcceptorState)
        /// Write a block to disk, and sometimes the state after it; the chain has it already.
        case keepBlock(FinalBlock, RegistryState?)
        /// Send a request; pass the answer, or nil, to ``answered(_:_:from:now:)`` with this number.
        case ask(Receiver, LedgerRequest, UInt64)
        /// Announce the chain's height to neighbours.
        case announce(height: UInt64)
        /// The result of the operation that was submitted with this number.
        case submitted(UInt64, SubmitResult)
        /// Warn the operator: a source of blocks sends invalid data, or the authorities contradict each other.
        case warn(LedgerWarning)
    }

    /// The receiver of a request.
    public enum Receiver: Hashable, Sendable {
        /// The node with this id.
        case node(NodeID)
        /// A random neighbour; one of these only if there are no others.
        case anyone(but: Set<NodeID>)
    }

    /// How long an operation may wait for a block, in milliseconds, in addition to the time of two blocks.
    static let submitTime: UInt64 = 30_000
    /// How many operations of this node may wait for a block.
    static let submitLimit = 256

    /// How many other neighbours are asked after failures, between two regular polls.
    static let repollLimit = 4

    /// How often the log may report the wrong clock of one authority, in milliseconds.
    static let clockInterval: UInt64 = 600_000

    /// The number of blocks after which the whole state is written to disk.
    static let stateInterval: UInt64 = 32

    private struct Submission {
        let operation: RegistryOperation
        let hash: Bytes32
        let deadline: UInt64
        /// The number of the last try, and how many authorities have not answered it yet.
        var tries = 0
        var asked = 0
        var isWaiting = false
        var refusal: (name: String, height: UInt64)?
        var nextTry: UInt64
    }

    private enum Question {
        case blocks
        /// The operation's number, and that of the try.
        case submit(UInt64, Int)
        case authority(AuthorityRequest, Int)
        /// The answer is ignored.
        case final
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
    private var fetches = FetchTable()
    /// Authorities that sent an invalid final block at this height: their next ones are not checked.
    private var forgers: Set<NodeID> = []
    private var nextPoll: UInt64 = 0
    /// How many polls after a failure are left until a time, so that a neighbour that fails at once does not cause a
    /// loop.
    private var repolls = (left: Self.repollLimit, until: UInt64(0))
    /// How many requests of authorities, and of this one to others, were refused because clocks differ.
    public private(set) var clockRefusals: UInt64 = 0
    /// When the log last reported an authority's wrong clock: by its requests, and at indices from 32 on by its
    /// answers.
    private var clockWarnings: [Int: UInt64] = [:]
    /// The newest warning that still applies; an appended block ends it.
    public private(set) var problem: LedgerWarning?

    /// The node `node` with its stored chain and epochs, and its part as an authority, if it is one.
    public init(node: NodeID, chain: LedgerChain, epochs: EpochSnapshots, authority: Authority?) {
        self.epochs = epochs
        rules = chain.rules
        self.node = node
        self.chain = chain
        self.authority = authority
    }

    /// Returns to the state on disk, after a write has failed; pending requests are dropped.
    ///
    /// The numbers of requests continue, so that a late answer is not taken for another.
    public mutating func restart(chain: LedgerChain, epochs: EpochSnapshots, acceptor: AcceptorState?) {
        self.chain = chain
        self.epochs = epochs
        authority?.restart(kept: acceptor)
        pool = OperationPool()
        questions = [:]
        submissions = [:]
        fetches = FetchTable()
        forgers = []
        problem = nil
    }

    /// Whether this node is an authority.
    public var isAuthority: Bool { authority != nil }
    /// This authority's acceptor state.
    var currentAcceptor: AcceptorState? { authority?.acceptor }
    /// How many operations wait at this authority.
    public var waitingCount: Int { pool.count }

    // MARK: Time

    /// Does the work that is due; call it at least once a second, for an authority several times.
    public mutating func tick(now: UInt64) -> [Action] {
        var actions: [Action] = []
        if let steps = authority?.tick(chain, now: now) { carryOut(steps, &actions, now: now) }
        if now >= nextPoll {
            // Polls even if every neighbour's announcement of a new block was lost.
            nextPoll = now + pollInterval
            poll(&actions, now: now)
        }
        for id in submissions.keys.sorted() { check(id, &actions, now: now) }
        return actions
    }

    // MARK: The chain

    /// How often a random neighbour is asked while a block is overdue, in milliseconds.
    private var pollInterval: UInt64 { min(max(rules.blockSeconds * 125, 1_000), 15_000) }

    /// Asks a random neighbour if a block is overdue.
    private mutating func poll(_ actions: inout [Action], now: UInt64) {
        guard now / 1_000 >= chain.state.time + rules.blockSeconds, fetches.hasRoom else { return }
        fetch(.init(), &actions)
    }

    /// Asks another random neighbour after a failure, a few times between two regular polls.
    private mutating func pollAgain(_ actions: inout [Action], now: UInt64) {
        if now >= repolls.until { repolls = (Self.repollLimit, now + pollInterval) }
        guard repolls.left > 0 else { return }
        repolls.left -= 1
        poll(&actions, now: now)
    }

    /// Handles a neighbour's announcement of its chain's height.
    public mutating func announced(_ height: UInt64, by other: NodeID, now: UInt64) -> [Action] {
        var actions: [Action] = []
        heard(of: height, from: other, &actions, now: now)
        return actions
    }

    private mutating func heard(of height: UInt64, from other: NodeID, _ actions: inout [Action], now: UInt64) {
        guard height > chain.height, other != node,
            fetches.admits(other, isAuthority: rules.authority(at: other) != nil, now: now)
        else { return }
        fetch(.init(source: other, claimed: height, isAnnounced: true), &actions)
    }

    private mutating func fetch(_ fetch: FetchTable.Fetch, _ actions: inout [Action]) {
        var fetch = fetch
        fetch.above = chain.height
        fetches.began(fetch, question: nextQuestion)
        let target: Receiver = fetch.source.map { .node($0) } ?? .anyone(but: fetches.avoided)
        ask(target, .blocks(above: chain.height), .blocks, &actions)
    }

    private mutating func ask(
        _ target: Receiver, _ request: LedgerRequest, _ question: Question, _ actions: inout [Action]
    ) {
        questions[nextQuestion] = question
        actions.append(.ask(target, request, nextQuestion))
        nextQuestion += 1
    }

    /// Handles the answer to a fetch, and asks the source for more as long as it delivers blocks.
    private mutating func take(
        _ body: [UInt8]?, _ fetch: FetchTable.Fetch, _ actions: inout [Action], now: UInt64
    ) {
        let before = chain.height
        let isGood = body.map { take($0, above: fetch.above, &actions, now: now) } ?? false
        if chain.height > before { actions.append(.announce(height: chain.height)) }
        guard let source = fetch.source else { return }
        if isGood, chain.height > before {
            fetches.delivered(source)
            if fetches.hasRoom { self.fetch(fetch, &actions) }
        } else if body == nil, !fetch.isAnnounced {
            fetches.wasSilent(source)
            pollAgain(&actions, now: now)
        } else if !isGood || fetch.claimed > chain.height {
            fetches.failed(source, now: now)
            pollAgain(&actions, now: now)
        }
    }

    /// Appends the blocks after `above` in an answer; returns whether all were valid.
    private mutating func take(_ body: [UInt8], above: UInt64, _ actions: inout [Action], now: UInt64) -> Bool {
        let blocks: [FinalBlock]
        do throws(WireError) {
            blocks = try FinalBlock.decodeList(body.rawSpan)
        } catch {
            warn(.unreadable, &actions)
            return false
        }
        for block in blocks {
            // The block may have come from another node since the request.
            if block.block.hash == chain.head || (above + 1..<max(above + 1, chain.height)).contains(block.block.height)
            {
                continue
            }
            guard append(block, &actions, now: now) else { return false }
        }
        return true
    }

    /// Appends a block and follows it; returns whether it was valid.
    private mutating func append(_ block: FinalBlock, _ actions: inout [Action], now: UInt64) -> Bool {
        do throws(LedgerRefusal) {
            try chain.append(block, now: now / 1_000)
        } catch {
            if error != .alreadyThere { warn(error, &actions) }
            return error == .alreadyThere
        }
        problem = nil
        forgers = []
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
        let warning = LedgerWarning.blockRefused(refusal)
        if problem != warning { actions.append(.warn(warning)) }
        problem = warning
    }

    /// Warns that an authority's clock differs from this one: by `seconds`, if its request was refused here.
    private mutating func tellClock(of index: Int, ahead seconds: Int64?, _ actions: inout [Action], now: UInt64) {
        clockRefusals &+= 1
        // After this clock was set back, the interval does not apply.
        let place = seconds == nil ? LedgerRules.maximumAuthorities + index : index
        if let last = clockWarnings[place], last <= now, now - last < Self.clockInterval { return }
        clockWarnings[place] = now
        let warning =
            seconds.map { LedgerWarning.dateRefused(authority: index, ahead: $0) }
            ?? .ownDateRefused(authority: index, difference: rules.slotSeconds)
        problem = warning
        actions.append(.warn(warning))
    }

    // MARK: Operations

    /// Submits an operation; `id`, which must not be reused, comes back with the result.
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
        // The refusal may be due to the operation already being in a block that is missing here.
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
            submission.tries += 1
            submission.asked = 0
            for authority in rules.authorities where authority.node != node {
                submission.asked += 1
                ask(.node(authority.node), .submit(submission.operation), .submit(id, submission.tries), &actions)
            }
            if isAuthority {
                submission.asked += 1
                submissions[id] = submission
                let answer = take(submission.operation, now: now)
                return answered(id, submission.tries, answer, &actions, now: now)
            }
            submissions[id] = submission
        }
    }

    /// Counts an answer to a try; one to an earlier try says nothing about those that are still to come.
    private mutating func answered(
        _ id: UInt64, _ number: Int, _ answer: SubmitAnswer?, _ actions: inout [Action], now: UInt64
    ) {
        guard var submission = submissions[id], submission.tries == number, submission.asked > 0 else { return }
        submission.asked -= 1
        if let answer {
            if let name = answer.refusal {
                submission.refusal = (name, max(answer.height, submission.refusal?.height ?? 0))
            } else {
                submission.isWaiting = true
            }
        }
        // No authority could be asked: try again soon.
        if submission.asked == 0, !submission.isWaiting, submission.refusal == nil { submission.nextTry = now + 1_000 }
        submissions[id] = submission
        if submission.asked == 0, submission.refusal != nil { check(id, &actions, now: now) }
    }

    /// Queues an operation for a block, if this node is an authority.
    private mutating func take(_ operation: RegistryOperation, now: UInt64) -> SubmitAnswer {
        do throws(RegistryRefusal) {
            try pool.add(operation, to: chain, now: now / 1_000)
            return SubmitAnswer(refusal: nil, height: chain.height)
        } catch {
            return SubmitAnswer(refusal: error.name, height: chain.height)
        }
    }

    // MARK: Questions and answers

    /// Answers an operation submitted by another node; nil if this node is not an authority.
    public mutating func received(_ operation: RegistryOperation, now: UInt64) -> SubmitAnswer? {
        isAuthority ? take(operation, now: now) : nil
    }

    /// Answers another authority; nil if one of the two is not an authority.
    ///
    /// The actions must be done before the answer is sent.
    public mutating func received(
        _ request: AuthorityRequest, from other: NodeID, now: UInt64
    ) -> (actions: [Action], answer: AuthorityAnswer)? {
        guard authority != nil, let index = rules.authority(at: other) else { return nil }
        let (acceptor, answer) = authority!.answer(request, from: index, &chain, now: now)
        var actions: [Action] = acceptor.map { [.keepAcceptor($0)] } ?? []
        if case .refused(.wrongTime, _) = answer {
            tellClock(of: index, ahead: rules.clockDifference(of: request, now: now), &actions, now: now)
        }
        if request.height > 0 { heard(of: request.height - 1, from: other, &actions, now: now) }
        return (actions, answer)
    }

    /// Handles a final block from an authority; does nothing if the sender is not one.
    public mutating func received(_ final: FinalBlock, from other: NodeID, now: UInt64) -> [Action] {
        guard rules.authority(at: other) != nil, other != node else { return [] }
        var actions: [Action] = []
        if final.block.height == chain.height + 1 {
            guard !forgers.contains(other) else { return [] }
            if append(final, &actions, now: now) {
                actions.append(.announce(height: chain.height))
            } else {
                forgers.insert(other)
            }
        } else {
            heard(of: final.block.height, from: other, &actions, now: now)
        }
        return actions
    }

    /// Handles the answer to a request, from the node that was asked; `body` is nil if there was none, and the node is
    /// nil if none could be asked.
    public mutating func answered(_ id: UInt64, _ body: [UInt8]?, from source: NodeID?, now: UInt64) -> [Action] {
        var actions: [Action] = []
        switch questions.removeValue(forKey: id) {
        case nil, .final: break
        case .blocks:
            guard var fetch = fetches.ended(question: id) else { break }
            fetch.source = fetch.source ?? source
            take(body, fetch, &actions, now: now)
        case .submit(let submission, let number):
            let answer = body.flatMap { try? SubmitAnswer(decoding: $0.rawSpan) }
            answered(submission, number, answer, &actions, now: now)
        case .authority(let request, let index):
            let answer = body.flatMap { try? AuthorityAnswer(decoding: $0.rawSpan) }
            if case .refused(let reason, let height)? = answer {
                if reason == .wrongTime { tellClock(of: index, ahead: nil, &actions, now: now) }
                heard(of: height, from: rules.authorities[index].node, &actions, now: now)
            }
            authority?.received(answer, to: request, from: index)
            carryOut([], &actions, now: now)
        }
        return actions
    }

    /// Turns an authority's steps into actions, as long as there are more.
    private mutating func carryOut(_ steps: [Authority.Action], _ actions: inout [Action], now: UInt64) {
        var steps = steps
        while true {
            for step in steps {
                switch step {
                case .keep(let acceptor): actions.append(.keepAcceptor(acceptor))
                case .ask(let request, let others):
                    for other in others {
                        let target = Receiver.node(rules.authorities[other].node)
                        ask(target, .authority(request), .authority(request, other), &actions)
                    }
                case .finish(let block):
                    guard append(block, &actions, now: now) else { break }
                    for other in rules.authorities where other.node != node {
                        ask(.node(other.node), .final(block), .final, &actions)
                    }
                    actions.append(.announce(height: chain.height))
                }
            }
            steps = authority?.advance(&chain, pool: pool, now: now) ?? []
            if steps.isEmpty { return }
        }
    }
}
