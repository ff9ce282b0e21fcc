import Wire

/// Exits whose legs die young, over one middle after the other.
///
/// A middle that dies takes many legs along, to many exits; an exit that ends legs to learn who builds them loses legs over many
/// middles. So an exit is distrusted when legs to it died young over three middles within ten minutes. It is not chosen then for
/// half an hour while there are others, sessions take no new streams there, and no standby legs are built to it.
struct ExitTrust {
    /// A leg that dies younger than this counts against its exit.
    static let youth = TimeSpan.seconds(60)
    /// Over how many middles legs must die young.
    static let limit = 3
    /// How long a lost leg counts.
    static let window = TimeSpan.seconds(600)
    /// How long an exit is distrusted.
    static let memory = TimeSpan.seconds(1_800)
    /// How many exits are remembered, of each kind; the oldest entry makes room.
    static let maximum = 256

    /// By exit, the middles of legs that died young.
    private var losses: [NodeID: [(middle: NodeID, at: Instant)]] = [:]
    private var distrusted: [NodeID: Instant] = [:]

    /// Notes that a leg to `exit` behind `middle` died young, or was refused by the exit.
    mutating func lost(_ exit: NodeID, behind middle: NodeID, at now: Instant) {
        if losses[exit] == nil, losses.count >= Self.maximum {
            losses = losses.filter { now - $0.value[$0.value.count - 1].at < Self.window }
            let oldest = losses.min { $0.value[$0.value.count - 1].at < $1.value[$1.value.count - 1].at }
            if losses.count >= Self.maximum, let oldest { losses[oldest.key] = nil }
        }
        var known = losses[exit, default: []].filter { now - $0.at < Self.window && $0.middle != middle }
        known.append((middle, now))
        losses[exit] = known
        if known.count >= Self.limit { distrust(exit, at: now) }
    }

    /// Does not choose `exit` for a while.
    mutating func distrust(_ exit: NodeID, at now: Instant) {
        losses[exit] = nil
        // Its sessions begun since then are there for want of others.
        if isDistrusted(exit, at: now) { return }
        if distrusted.count >= Self.maximum, let oldest = distrusted.min(by: { $0.value < $1.value }) {
            distrusted[oldest.key] = nil
        }
        distrusted[exit] = now
    }

    /// Whether `exit` is not to be chosen now.
    func isDistrusted(_ exit: NodeID, at now: Instant) -> Bool {
        distrusted[exit].map { now - $0 < Self.memory } ?? false
    }

    /// Whether `exit` came to be distrusted after `moment`.
    func isDistrusted(_ exit: NodeID, at now: Instant, since moment: Instant) -> Bool {
        isDistrusted(exit, at: now) && distrusted[exit].map { $0 >= moment } ?? false
    }

    /// The exits that are not to be chosen while there are others.
    func distrusted(at now: Instant) -> [NodeID] { distrusted.filter { now - $0.value < Self.memory }.map(\.key) }
}
