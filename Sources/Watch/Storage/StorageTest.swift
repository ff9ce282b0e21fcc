internal import OnionCrypto
internal import Swarm
internal import Wire

/// One test of a node under way.
struct StorageTest: Sendable {
    /// What the tested node has shown of an item.
    enum Sight {
        case shown, missing
        /// It did not answer.
        case silent
        /// Its answer is none against it.
        case unclear
    }

    /// The step that it is at.
    enum Stage {
        /// The tested node is asked for the item.
        case first
        /// The other replicas are asked for it.
        case others(asked: Int, showing: Int)
        /// The tested node is asked once more after a pause.
        case pause(since: Instant, until: Instant)
        case again(since: Instant)
        /// A key in one of the node's shards is wanted.
        case finding
        /// A new item is being stored.
        case accepting(Acceptance)
        /// The tested node has signed for it neither time, and is asked once more after a pause.
        case accepted(Acceptance, since: Instant, until: Instant)
    }

    let node: NodeID
    let began: Instant
    /// The item that the node must still have; nil: it has none of this node.
    let box: TestBox?
    var stage: Stage
    /// Whether the node did not answer for that item; whether it stores at the same time is then found first.
    var isSilent = false
}

/// The storing of a new test item: as clients do it, at replicas one after the other.
struct Acceptance: Sendable {
    /// The state after an answer.
    enum Step: Equatable {
        /// Ask this replica to store the item.
        case ask(NodeID)
        /// The tested node and, with it, a majority have signed.
        case accepted
        /// A majority of others has signed, but not the tested node; it is to be asked once more later.
        case pause
        /// It has not signed then either; if `silentSince` is given, it has never answered, and was asked again then.
        case failed(silentSince: Instant?)
        case unclear
    }

    /// How many times the tested node is asked, and how many others are.
    private static let ownTries = 2, otherTries = 3

    let key: Bytes32
    let seed: Bytes32
    let item: StoredItem
    let height: UInt64
    let swarm: [NodeID]
    private let tested: NodeID
    private let network: Bytes32
    private var signed: Set<NodeID> = []
    private var owns = 0
    private var others: [NodeID]
    private var othersAsked = 0
    /// Whether another replica is asked first, so that the item comes to the tested node as a copy.
    private var startsWithOther: Bool
    private var pausedAt: Instant?
    private var hasAnswered = false
    private var isUnclear = false

    /// The storing of `item` by the map at `height`; `others` are the other replicas in the order to ask them.
    init(
        _ item: StoredItem, key: Bytes32, seed: Bytes32, height: UInt64, swarm: [NodeID], tested: NodeID,
        others: [NodeID], startsWithOther: Bool, network: Bytes32
    ) {
        (self.item, self.key, self.seed) = (item, key, seed)
        (self.height, self.swarm, self.tested, self.network) = (height, swarm, tested, network)
        self.others = others
        self.startsWithOther = startsWithOther
    }

    private var majority: Int { swarm.count / 2 + 1 }
    private var hasOwn: Bool { signed.contains(tested) }

    /// The next step, after the answers so far.
    mutating func next() -> Step {
        if isUnclear { return .unclear }
        if hasOwn, signed.count >= majority { return .accepted }
        if startsWithOther, !others.isEmpty {
            startsWithOther = false
            return askOther()
        }
        if !hasOwn, owns < Self.ownTries {
            owns += 1
            return .ask(tested)
        }
        if !hasOwn, signed.count >= majority {
            guard let pausedAt else { return .pause }
            return .failed(silentSince: hasAnswered ? nil : pausedAt)
        }
        return othersAsked < Self.otherTries && !others.isEmpty ? askOther() : .unclear
    }

    /// Whether the tested node has answered nothing.
    var isSilent: Bool { !hasAnswered }

    /// The pause that began at `moment` is over: the tested node is asked once more.
    mutating func resume(after moment: Instant) {
        pausedAt = moment
        owns = min(owns, Self.ownTries - 1)
    }

    private mutating func askOther() -> Step {
        othersAsked += 1
        return .ask(others.removeFirst())
    }

    /// Takes the answer of `node`, or nil if none came; `isKnown` says that nodes must know the snapshot by now.
    mutating func take(_ answer: StoreAnswer?, from node: NodeID, isKnown: Bool) {
        if node == tested, answer != nil { hasAnswered = true }
        switch answer {
        case .stored(height, let receipts):
            for entry in receipts where swarm.indices.contains(Int(entry.index)) {
                let member = swarm[Int(entry.index)]
                // Once the tested node was asked, its own answer must bring its receipt: it must serve clients too.
                if member == tested, node != tested, owns > 0 { continue }
                if !signed.contains(member),
                    StoreReceipt.isGood(entry.receipt, of: member, height: height, id: item.id, network: network)
                {
                    signed.insert(member)
                }
            }
        case .refused(let refusal) where node == tested && refusal.isNoFault(isKnown: isKnown): isUnclear = true
        case .stored, .deleted, .listed, .items, .refused, nil: break
        }
    }
}

extension StoreRefusal {
    /// Whether an honest replica may give this answer.
    func isNoFault(isKnown: Bool) -> Bool {
        switch self {
        case .full, .busy: true
        case .notReplica: !isKnown
        case .malformed, .unknown, .notAuthorised, .timeInvalid, .superseded: false
        }
    }
}
