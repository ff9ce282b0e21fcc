/// What the replicas of a box have answered when a call ends without a result.
///
/// Nothing in it is decided: a replica that signed may lose the item, one that refused may lie, and one that said
/// nothing may have it.
public struct StoreCount: Hashable, Sendable {
    /// How many have signed that they hold the item; of a look-up, how many have said that they hold nothing.
    public var signed: Int
    /// The refusals, by status.
    public var refusals: [StoreRefusal]
    /// How many have given no answer that counts.
    public var silent: Int

    /// A count of answers.
    public init(signed: Int, refusals: [StoreRefusal], silent: Int) {
        self.signed = signed
        self.refusals = refusals.sorted { $0.status < $1.status }
        self.silent = silent
    }

    /// Whether no replica has answered.
    public var isEmpty: Bool { signed == 0 && refusals.isEmpty }
}

extension StoreRefusal {
    /// The refusal that two replicas give; of two newer versions the newest.
    static func agreed(among refusals: some Collection<StoreRefusal>) -> StoreRefusal? {
        for status in Set(refusals.map(\.status)).sorted() {
            let same = refusals.filter { $0.status == status }
            guard same.count > 1, let first = same.first else { continue }
            switch first {
            case .malformed, .unknown, .full, .notAuthorised, .timeInvalid: return first
            // Others may know the height, or have time.
            case .notReplica, .busy: continue
            case .superseded: return same.max { $0.version < $1.version }
            }
        }
        return nil
    }

    private var version: (UInt32, UInt8) {
        if case .superseded(let created, let counter) = self { (created, counter) } else { (0, 0) }
    }
}
