internal import Wire

/// How much of its storage a replica reads for clients; the nodes that bring their requests share it.
///
/// How much a request reads is known afterwards, and is due before the next one of the same node.
struct ReadRate {
    /// The moment of the beginning for `rate`; an hour is there so that the burst is, too.
    private static let began = Instant(nanoseconds: 3_600_000_000_000)
    private let start: UInt64
    private var rate = SharedRate<NodeID, Never>(
        perSecond: SwarmLimits.readUnits, burst: SwarmLimits.readBurst, now: ReadRate.began)
    /// The units that are due.
    private var debts: [NodeID: Int] = [:]

    init(now: UInt64) { start = now }

    /// Takes a unit, and what is due, for a request that `via` brought; false if its share is used up.
    mutating func take(via: NodeID, _ now: UInt64) -> Bool {
        let (elapsed, overflow) = (now > start ? now - start : 0).multipliedReportingOverflow(by: 1_000_000)
        let moment = Self.began + TimeSpan(nanoseconds: overflow ? .max : Int64(clamping: elapsed))
        var due = debts.removeValue(forKey: via) ?? 0
        while due > 0 {
            guard rate.take(via, moment) else {
                debts[via] = due
                return false
            }
            due -= 1
        }
        return rate.take(via, moment)
    }

    /// Notes that a request has read so many entries, and so many bytes of items.
    mutating func note(entries: Int, bytes: Int, via: NodeID) {
        let units = (entries + bytes / SwarmLimits.readBytes) / SwarmLimits.readUnit
        if units > 0 { debts[via, default: 0] += units }
    }
}
