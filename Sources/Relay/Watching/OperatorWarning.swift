public import Wire

/// The warning to a node's operator that other nodes find the node at fault, in one sentence.
public struct OperatorWarning {
    /// The node's standing in the network.
    enum Standing {
        /// Other nodes do not test it.
        case unstaked
        /// The node serves as far as the network knows.
        case staked
        /// Other nodes found that the node did not serve.
        case decommissioned
        /// The node is in maintenance at its operator's request, so there is no warning.
        case inMaintenance
    }

    /// A warning by its kind.
    public enum Kind: Equatable, Sendable {
        /// Other nodes found that this node did not serve.
        case decommissioned
        /// Nodes of two operators report that this node does not serve.
        case suspected
        /// Nodes of two operators report that this node does not serve, or loses items: their messages do not say which.
        case suspectedOfLoss
        /// No client, and no test by another node, has made a link for this time.
        case unreached(TimeSpan)

        /// Whether both warnings are of one kind, whatever their times.
        func isSame(as other: Kind) -> Bool {
            switch (self, other) {
            case (.decommissioned, .decommissioned), (.suspected, .suspected), (.suspectedOfLoss, .suspectedOfLoss),
                (.unreached, .unreached):
                true
            case (.decommissioned, _), (.suspected, _), (.suspectedOfLoss, _), (.unreached, _): false
            }
        }

        /// The warning, in one or two sentences.
        public var text: String {
            switch self {
            case .decommissioned:
                "This node is decommissioned: others found that it did not serve. It is used again when it passes their "
                    + "tests; see that its UDP port can be reached."
            case .suspected: "Other nodes report that this one does not serve."
            case .suspectedOfLoss:
                "Other nodes report that this one does not serve, or that it loses items which it has signed for."
            case .unreached(let silence):
                "No client and no test of another node has come for \(Int(silence.inSeconds)) s: this node may not be "
                    + "reachable; see that its UDP port is open."
            }
        }
    }

    /// The number of intervals without a client after which to warn.
    ///
    /// The chance of such a silence is below one in a million.
    private static let quietIntervals: Int64 = 40
    /// How long a suspicion of other nodes is remembered.
    private static let suspicionTime = TimeSpan.seconds(600)
    /// How many operators' nodes must suspect this one.
    ///
    /// Nothing proves a suspicion: one operator's could be false.
    private static let accusers = 2

    /// The time of the last link from a client, or from a test of another node.
    private var lastClient: Instant
    /// The operators whose nodes suspected this one last, and when: at most ``accusers``.
    private var suspicions: [(owner: Bytes32, at: Instant)] = []
    /// The last warning in the log.
    private var told: Kind?

    /// Begins at `now`, as if a client had just come.
    init(at now: Instant) { lastClient = now }

    /// Notes that a client has made a link; a test by another node does the same.
    mutating func clientCame(at now: Instant) { lastClient = now }

    /// The time since a client last came.
    func silence(at now: Instant) -> TimeSpan { now - lastClient }

    /// Notes that an active node of the operator `owner` has begun a ballot against this one.
    mutating func suspect(by owner: Bytes32, at now: Instant) {
        suspicions.removeAll { $0.owner == owner }
        suspicions.append((owner, now))
        if suspicions.count > Self.accusers { suspicions.removeFirst() }
    }

    private func isSuspected(at now: Instant) -> Bool {
        suspicions.count { now - $0.at <= Self.suspicionTime } >= Self.accusers
    }

    /// The warning; nil if there is none.
    ///
    /// `others` is the number of nodes that this one tests, and `interval` is the time between tests. `mayLose` says
    /// that storage tests count in the network.
    func kind(
        _ standing: Standing, others: Int, interval: TimeSpan, mayLose: Bool = false, at now: Instant
    ) -> Kind? {
        switch standing {
        case .inMaintenance: return nil
        case .decommissioned: return .decommissioned
        case .unstaked: return nil
        case .staked: break
        }
        // What this node finds itself comes before suspicions of others.
        let silence = silence(at: now)
        // With fewer than three other nodes, silence proves nothing.
        if others >= 3, silence > interval * Self.quietIntervals { return .unreached(silence) }
        guard isSuspected(at: now) else { return nil }
        return mayLose ? .suspectedOfLoss : .suspected
    }

    /// Whether `warning` belongs in the log: its kind differs from the last one's.
    mutating func isNews(_ warning: Kind?) -> Bool {
        defer { told = warning }
        return switch (warning, told) {
        case (nil, nil): false
        case (let warning?, let told?): !warning.isSame(as: told)
        case (nil, _), (_, nil): true
        }
    }
}
