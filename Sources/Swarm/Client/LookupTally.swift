public import Wire

/// A client's count of the answers to a look-up, of which each replica gives one (protocol.md, section 12.4).
public struct LookupTally: Sendable {
    /// The empty answers after which a box counts as empty.
    public static let emptyAnswers = 3

    private let question: LookupQuestion
    private let network: Bytes32
    private let replicas: Int
    private var empty = 0
    private var refusals: [StoreRefusal] = []
    /// Whether a replica has answered, and not told whether it has the items.
    private var isUnclear = false

    /// A count without answers of a box's `replicas`.
    public init(of question: LookupQuestion, replicas: Int, network: Bytes32) {
        self.question = question
        self.replicas = replicas
        self.network = network
    }

    /// Adds a replica's answer, nil if it cannot be read; returns the look-up's result, or nil to ask another replica.
    ///
    /// An answer without a valid item counts as empty: the next replica may have one. The last empty answer that is
    /// needed gives an empty result.
    public mutating func add(_ answer: StoreAnswer?, at minute: UInt32) -> [StoredItem]? {
        switch answer {
        case .refused(let reason):
            refusals.append(reason)
            if case .notReplica = reason { return nil }
        case .items(let bytes):
            let items = question.items(in: .items(bytes), network: network, minute: minute)
            if items.isEmpty { empty += 1 }
            return items.isEmpty && empty < Self.emptyAnswers ? nil : items
        case .stored, .deleted, .listed, nil: break
        }
        isUnclear = true
        return nil
    }

    /// What the replicas have answered so far; answers that cannot be read, or of invalid items, count as none.
    public var count: StoreCount {
        StoreCount(signed: empty, refusals: refusals, silent: max(0, replicas - empty - refusals.count))
    }

    /// The refusal that two replicas give.
    public var agreedRefusal: StoreRefusal? { StoreRefusal.agreed(among: refusals) }

    /// Whether the box counts as empty once all replicas have been asked: some said so, and none was unclear.
    ///
    /// Otherwise a replica that hides an item would speak for those that refuse or are late.
    public var isEmpty: Bool { empty > 0 && !isUnclear }
}
