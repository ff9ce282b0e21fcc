public import Wire

/// What a tester reports of other nodes to an oxend daemon.
///
/// The daemon votes against a node while the last reported failure is less than five minutes old and the first one more
/// than an hour, without a reported pass in between. So a failure is reported again as long as the node is dead, and a
/// pass only if the node is well: one pass makes the daemon forget the first failure.
public struct PeerReports: Sendable {
    /// The pause between two looks after which dead nodes may have come back meanwhile.
    private static let leastPause = TimeSpan.seconds(10)

    /// The time between two reports of a node that stays dead.
    private let interval: TimeSpan
    private var nextRepeat: Instant
    /// When ``due(_:among:now:)`` was last called.
    private var lastLook: Instant
    /// When this node was last not allowed to accuse: too many tests failed, or it did not look for long.
    ///
    /// Dead nodes must have failed a test since.
    private var lastMute: Instant?

    /// No reports; a failure is reported again after each `interval`.
    public init(interval: TimeSpan, now: Instant) {
        self.interval = interval
        nextRepeat = now + interval
        lastLook = now
    }

    /// What to report after a test of `node` whose result `tester` has: whether it serves; nil: nothing.
    ///
    /// `isPass`: the test was passed. `active` returns whether a node is active.
    public mutating func result(
        of node: NodeID, isPass: Bool, by tester: Tester, among active: (NodeID) -> Bool, now: Instant
    ) -> Bool? {
        noteBlindness(of: tester, among: active, now: now)
        if isAccused(node, by: tester, now: now) { return false }
        return isPass && tester.isWell(node, now: now) ? true : nil
    }

    /// The dead nodes whose failure is to be reported again now.
    ///
    /// To be called once a second or more often, as long as this node tests others.
    public mutating func due(_ tester: Tester, among active: (NodeID) -> Bool, now: Instant) -> [NodeID] {
        if now - lastLook > max(interval, Self.leastPause) { lastMute = now }
        lastLook = now
        noteBlindness(of: tester, among: active, now: now)
        guard now >= nextRepeat else { return [] }
        nextRepeat = now + interval
        return tester.dead(now).filter { isAccused($0, by: tester, now: now) }
    }

    /// Only marked nodes can be dead.
    private mutating func noteBlindness(of tester: Tester, among active: (NodeID) -> Bool, now: Instant) {
        if !tester.marked.isEmpty, tester.isBlind(among: active, now: now) { lastMute = now }
    }

    private func isAccused(_ node: NodeID, by tester: Tester, now: Instant) -> Bool {
        guard let record = tester.records[node], tester.mayAccuse(record, now: now) else { return false }
        return lastMute.map { record.lastTest > $0 } ?? true
    }
}
