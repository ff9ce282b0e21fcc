public import Wire

/// A client's count of the answers to a look-up, of which each replica gives one (protocol.md, section 12.4).
public struct LookupTally: Sendable {
    /// The empty answers after which a box counts as empty.
    public static let emptyAnswers = 3

    private let question: LookupQuestion
    private let network: Bytes32
    private var empty = 0
    /// Whether a replica has answered, and not told whether it has the items.
    private var isUnclear = false
    /// The last reason for which a replica refused the look-up.
    public private(set) var refusal: StoreRefusal?

    /// A count without answers.
    public init(of question: LookupQuestion, network: Bytes32) {
        self.question = question
        self.network = network
    }

    /// The result of the look-up with a replica's answer at `minute`; nil if another replica has to be asked.
    ///
    /// Nothing valid is as good as nothing: the next replica may have it. The answer nil cannot be read.
    public mutating func add(_ answer: StoreAnswer?, at minute: UInt32) -> [StoredItem]? {
        switch answer {
        case .refused(let reason):
            refusal = reason
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

    /// Whether there is nothing, if all replicas have answered.
    ///
    /// Otherwise a replica that hides an item would speak for those that refuse or are late.
    public var isEmpty: Bool { empty > 0 && !isUnclear }
}
