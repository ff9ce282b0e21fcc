internal import Wire

/// Guards over which ready paths end too soon; for a while, new paths use another guard.
///
/// A hostile guard may end paths until its client draws an exit that colludes with it. Such a guard gets fewer paths
/// for each one that it ends. Meanwhile sessions and spare paths use the other guard, which shows who ended them. An
/// exit ends paths over all guards alike, so guards with equal losses are not passed over. No new guard is drawn
/// because of this.
struct GuardPauses {
    /// How long a guard is passed over after one lost path, and at most; each further loss doubles the time.
    static let pause = (first: TimeSpan.seconds(15), longest: TimeSpan.seconds(1_800))
    /// How long a lost path counts.
    static let window = TimeSpan.seconds(1_800)
    /// How many losses of one guard, and how many guards, are remembered.
    static let maximum = (losses: 16, guards: 64)

    private var losses: [NodeID: [Instant]] = [:]

    /// Notes that a ready path over `entry` has ended too soon.
    mutating func lost(over entry: NodeID, at now: Instant) {
        if losses[entry] == nil, losses.count >= Self.maximum.guards {
            losses = losses.filter { now - ($0.value.last ?? now) < Self.window }
            guard losses.count < Self.maximum.guards else { return }
        }
        losses[entry] = (count(entry, now) + [now]).suffix(Self.maximum.losses)
    }

    private func count(_ entry: NodeID, _ now: Instant) -> [Instant] {
        losses[entry, default: []].filter { now - $0 < Self.window }
    }

    /// The guard in use that is passed over now: it has lost the most paths, more than another, and one recently.
    func passedOver(of guards: [NodeID], at now: Instant) -> NodeID? {
        let counts = guards.map { (node: $0, losses: count($0, now)) }
        guard let worst = counts.max(by: { $0.losses.count < $1.losses.count }), let last = worst.losses.last,
            counts.contains(where: { $0.losses.count < worst.losses.count })
        else { return nil }
        let pause = Self.pause.first * (1 << Int64(min(worst.losses.count - 1, 16)))
        return now - last < min(pause, Self.pause.longest) ? worst.node : nil
    }
}
