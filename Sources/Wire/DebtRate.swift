/// A rate that sources share, for tasks that cost several tokens: one is taken before a task, the others are due before
/// the next task of the same source.
///
/// If all were taken at once, a task that costs more than a source's part would never begin while the rate is in use.
/// There must be a bound on the sources: a debt stays until its source comes again.
public struct DebtRate<Source: Hashable & Sendable>: Sendable {
    private var rate: SharedRate<Source, Never>
    /// The tokens that are due.
    private var debts: [Source: Int] = [:]

    /// A full rate.
    public init(perSecond: Int, burst: Int, now: Instant) {
        rate = SharedRate(perSecond: perSecond, burst: burst, now: now)
    }

    /// Takes what is due of `source`, and a token for a task; false if the source's part does not allow it.
    public mutating func take(_ source: Source, _ now: Instant) -> Bool {
        var due = debts.removeValue(forKey: source) ?? 0
        while due > 0 {
            guard rate.take(source, now) else {
                debts[source] = due
                return false
            }
            due -= 1
        }
        return rate.take(source, now)
    }

    /// Takes what is due of `source`, and a token for a task of `tokens`, whose others are due then.
    public mutating func take(_ source: Source, tokens: Int, _ now: Instant) -> Bool {
        guard take(source, now) else { return false }
        owe(source, tokens: tokens - 1)
        return true
    }

    /// Notes that a task of `source` has cost more tokens than the one that was taken.
    public mutating func owe(_ source: Source, tokens: Int) {
        if tokens > 0 { debts[source, default: 0] += tokens }
    }
}
