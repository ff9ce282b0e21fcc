internal import Wire

/// What a node's operator must know of how others find it, in one sentence.
struct OperatorWarning {
    /// What the network makes of this node.
    enum Standing {
        /// Others do not test it.
        case unstaked
        /// It serves, as far as the network knows.
        case staked
        /// Others found that it did not serve.
        case decommissioned
        /// It rests because its operator has asked for it, which is no reason to warn.
        case inMaintenance
    }

    /// How many intervals without a client are a reason to warn: that none comes by chance is less likely than one in a million.
    private static let quietIntervals: Int64 = 40
    /// How long the suspicion of others is remembered.
    private static let suspicionTime = TimeSpan.seconds(600)
    private static let decommissioned =
        "This node is decommissioned: others found that it did not serve. It is used again when it passes their tests; see "
        + "that its UDP port can be reached, and run 'tunic relay --check'."

    /// When a client, or a test of another node, has come last.
    private var lastClient: Instant
    /// When others have suspected this node last, and how often.
    private var suspected: (at: Instant, count: Int)?
    /// The kind of the warning that was told last.
    private var told: String?

    /// A client counts as having come at `now`.
    init(at now: Instant) { lastClient = now }

    /// A client has made a link, as every test does.
    mutating func clientCame(at now: Instant) { lastClient = now }

    /// How long no client has come.
    func silence(at now: Instant) -> TimeSpan { now - lastClient }

    /// Another node has begun a ballot against this one.
    mutating func suspect(at now: Instant) {
        let count = suspected.map { now - $0.at <= Self.suspicionTime ? $0.count : 0 } ?? 0
        suspected = (now, count + 1)
    }

    /// The sentence; nil where there is nothing to warn of.
    ///
    /// `others` is how many nodes this one tests, at an `interval`.
    func text(_ standing: Standing, others: Int, interval: TimeSpan, at now: Instant) -> String? {
        switch standing {
        case .inMaintenance: return nil
        case .decommissioned: return Self.decommissioned
        case .unstaked: return nil
        case .staked: break
        }
        if let suspected, suspected.count >= 2, now - suspected.at <= Self.suspicionTime {
            return "Other nodes report that this one does not serve; run 'tunic relay --check'."
        }
        return Self.unreached(for: silence(at: now), others: others, interval: interval)
    }

    /// What is said where no client and no test has come for so long, by a node that has tested so many others.
    ///
    /// Fewer others are too few to test it.
    private static func unreached(for silence: TimeSpan, others: Int, interval: TimeSpan) -> String? {
        guard others >= 3, silence > interval * quietIntervals else { return nil }
        return "No client and no test of another node has come for \(Int(silence.inSeconds)) s: this node may not be "
            + "reachable; see that its UDP port is open, and run 'tunic relay --check'."
    }

    /// Whether the log is to be told of `warning`: it is of another kind than the last one.
    mutating func isNews(_ warning: String?) -> Bool {
        let kind = warning.map { String($0.prefix(24)) }
        guard kind != told else { return false }
        told = kind
        return true
    }
}
