internal import Wire

/// A replica's role in one of its shards.
struct ShardRole {
    /// The part of the role that is kept on disk.
    var record: ShardRecord
    /// Since when it may have missed entries: it joined, or the process started.
    var since: UInt32
    /// Whether enough other replicas have shown that it lacks nothing.
    var isComplete = false
    /// Whether the shard is being dropped.
    var isDropping = false
    /// For each other replica, the cut up to which it has shown all its entries; if this node is leaving, up to which
    /// it has all of this node's entries.
    var matched: [NodeID: UInt32] = [:]

    init(_ record: ShardRecord, since: UInt32) {
        self.record = record
        self.since = since
    }

    /// The most former replicas that are remembered.
    static let formerLimit = 64
    /// The longest time from an item's `created` until its range is compared, in minutes.
    private static let settle = SwarmLimits.settleMinutes + SwarmLimits.rangeMinutes

    /// Whether it still waits before it pulls history; a leaving replica has to give at once.
    func waits(_ minute: UInt32) -> Bool {
        record.left == nil && record.standIn.map { minute < $0 + SwarmLimits.standInMinutes } ?? false
    }

    /// Whether it pulls missing items by itself.
    var isJoining: Bool { !isComplete && record.left == nil }
    /// Whether it takes new items.
    var isOpen: Bool { record.closed == nil }

    /// How many others have shown all their entries up to a time after `since`.
    var shown: Int { matched.values.count { $0 >= since + Self.settle } }
    /// How many others have shown that they have all entries that this node took before it closed.
    func released(closed: UInt32) -> Int {
        matched.values.count { $0 >= closed + SwarmLimits.copyAhead + Self.settle }
    }

    /// The role after the clock was set back: times that now lie in the future are moved to the present.
    func following(_ minute: UInt32) -> ShardRole {
        var role = self
        role.since = min(since, minute)
        role.record.joined = min(record.joined, minute)
        role.record.left = record.left.map { min($0, minute) }
        role.record.closed = record.closed.map { min($0, minute) }
        role.record.standIn = record.standIn.map { min($0, minute) }
        role.record.former = record.former.mapValues { min($0, minute + SwarmLimits.formerMinutes) }
        role.matched = matched.filter { $0.value <= minute + SwarmLimits.cutWindow }
        return role
    }
}

extension Replica {
    /// The shards that the replica holds.
    public var shards: [UInt16] { roles.keys.sorted() }

    /// The number of shards that the newest snapshot gives this replica, and of those that it has completely.
    public var completeness: (held: Int, complete: Int) {
        roles.values.reduce(into: (0, 0)) { sum, role in
            guard role.record.left == nil else { return }
            sum.0 += 1
            if role.isComplete { sum.1 += 1 }
        }
    }

    /// Whether this replica has a shard completely: comparisons have brought all that it could lack.
    public func isComplete(_ shard: UInt16) -> Bool {
        roles[shard].map { $0.isComplete && $0.record.left == nil } ?? false
    }

    /// Loads the roles on disk; the process may have missed entries of each shard.
    mutating func loadRoles() {
        roles = holdings.storage.shards().mapValues { ShardRole($0, since: minute) }
    }

    /// Replaces a storage that cannot be used any more by an empty one; the other replicas bring all entries again.
    ///
    /// Clients that wait are told that the node is busy.
    public mutating func replace(_ storage: Storage) -> [Action] {
        actions = coordinator.asks.keys.sorted().map { .answer(ask: $0, .refused(.busy(seconds: 5))) }
        for id in subscriptions.all.keys.sorted() { end(subscription: id) }
        questions.forget()
        holdings = Holdings(network: network, storage: storage, random: holdings.random)
        holdings.renumber()
        coordinator = Coordinator(quota: settings.quota, now: now)
        peers = [:]
        loadRoles()
        assignRoles()
        refreshPeers()
        _ = holdings.storage.commit()
        defer { actions = [] }
        return actions
    }

    /// Notes that entries of a shard are lost; other replicas have to show all that they have once more.
    mutating func distrust(_ shard: UInt16) {
        guard var role = roles[shard], role.record.left == nil else { return }
        let wasComplete = role.isComplete
        role.since = minute
        role.isComplete = false
        role.matched = [:]
        roles[shard] = role
        if wasComplete {
            for id in subscriptions.readers(of: shard) { actions.append(.push(id: id, .outOfDate(true))) }
        }
        let soon = now + 60_000
        for (peer, state) in peers where state.shards.contains(shard) {
            peers[peer]?.nextCompare = min(state.nextCompare, soon)
            peers[peer]?.places[shard] = nil
        }
    }

    /// Keeps a shard's role in memory, and its record on disk.
    private mutating func keep(_ role: ShardRole, _ shard: UInt16) {
        if holdings.storage.shards()[shard] != role.record { holdings.storage.setShard(shard, role.record) }
        roles[shard] = role
    }

    /// Follows a snapshot; an older one, or one of the same height, changes nothing.
    mutating func follow(_ view: SwarmView) {
        guard view.height > height || views.isEmpty else { return }
        let old = views.first
        views.insert(view, at: 0)
        if views.count > SwarmLimits.maps { views.removeLast() }
        assignRoles()
        if let old {
            for shard in roles.keys.sorted() { remember(former: old.map.swarm(shard), of: shard, now: view.map) }
        }
        refreshPeers()
    }

    /// Joins the shards for which the newest snapshot names this node, and leaves the others.
    mutating func assignRoles() {
        guard let view = views.first else { return }
        let own = Set(view.map.shards(of: node))
        for shard in own.union(roles.keys).sorted() {
            var role = roles[shard] ?? ShardRole(ShardRecord(joined: minute), since: minute)
            if own.contains(shard) {
                if role.record.left != nil {
                    let former = role.record.former
                    role = ShardRole(ShardRecord(joined: minute), since: minute)
                    role.record.former = former
                }
                let isStandIn = view.withSuspended.map { $0.position(of: node, in: shard) == nil } ?? false
                role.record.standIn = isStandIn ? role.record.standIn ?? minute : nil
            } else {
                if role.record.left == nil {
                    role.record.left = minute
                    role.matched = [:]
                    moveReaders(of: shard)
                }
                if role.record.closed == nil, !isNamed(for: shard) { role.record.closed = minute }
            }
            keep(role, shard)
        }
    }

    private mutating func remember(former: [NodeID], of shard: UInt16, now map: SwarmMap) {
        guard var role = roles[shard] else { return }
        var known = role.record.former.filter { $0.value > minute && map.position(of: $0.key, in: shard) == nil }
        for other in former where map.position(of: other, in: shard) == nil && other != node {
            known[other] = known[other] ?? minute + SwarmLimits.formerMinutes
        }
        while known.count > ShardRole.formerLimit,
            let first = known.min(by: { ($0.value, $0.key) < ($1.value, $1.key) })
        {
            known[first.key] = nil
        }
        role.record.former = known
        // Only current replicas count.
        role.matched = role.matched.filter { map.position(of: $0.key, in: shard) != nil }
        keep(role, shard)
    }

    /// Whether this node is a replica of `shard` by one of the kept snapshots.
    func isNamed(for shard: UInt16) -> Bool { isNamed(node, for: shard) }

    /// Whether `other` is a replica of `shard` by one of the kept snapshots.
    func isNamed(_ other: NodeID, for shard: UInt16) -> Bool {
        views.contains { $0.map.position(of: other, in: shard) != nil }
    }

    /// Whether `peer` may send, compare and fetch the entries of `shard`.
    func shares(_ shard: UInt16, with peer: NodeID) -> Bool {
        guard let role = roles[shard], peer != node else { return false }
        return role.record.former[peer].map { $0 > minute } ?? false || isNamed(peer, for: shard)
    }

    /// Whether `shard` is compared with `peer`.
    func compares(_ shard: UInt16, with peer: NodeID) -> Bool {
        shares(shard, with: peer) && !(roles[shard].map { $0.waits(minute) || $0.isDropping } ?? true)
    }

    /// How many others must have shown their entries of a shard.
    private var witnesses: Int { views.first.map { min($0.map.majority, max(0, $0.map.size - 1)) } ?? .max }

    /// Notes that `peer` has shown its entries of `shard` up to `cut`.
    mutating func matched(_ shard: UInt16, with peer: NodeID, cut: UInt32) {
        guard views.first?.map.position(of: peer, in: shard) != nil else { return }
        let known = roles[shard]?.matched[peer] ?? 0
        roles[shard]?.matched[peer] = max(cut, known)
    }

    /// Completes shards that have been shown, and drops shards that have been left.
    mutating func checkRoles() {
        for shard in roles.keys.sorted() {
            guard var role = roles[shard] else { continue }
            if let left = role.record.left {
                if let closed = role.record.closed { role.isDropping = isReleased(role, left: left, closed: closed) }
            } else if !role.isComplete, !role.waits(minute), role.shown >= witnesses {
                role.isComplete = true
                tellReaders(of: shard)
            }
            keep(role, shard)
            if role.isDropping, holdings.drop(shard: shard, limit: 1_000) {
                roles[shard] = nil
                holdings.storage.setShard(shard, nil)
                refreshPeers()
            }
        }
    }

    /// Whether a shard need not be held any longer.
    ///
    /// It need not once a majority has all of it, or after 72 hours one other replica. Otherwise it is kept as long as
    /// a message lives.
    private func isReleased(_ role: ShardRole, left: UInt32, closed: UInt32) -> Bool {
        let released = role.released(closed: closed)
        return role.isDropping || released >= witnesses
            || released > 0 && minute >= left + SwarmLimits.leaveMinutes
            || minute >= left + SwarmLimits.formerMinutes
    }

    /// Sets for each other node the shards that it shares with this one, and how much it may bring.
    mutating func refreshPeers() {
        var shared: [NodeID: Set<UInt16>] = [:]
        for (shard, role) in roles {
            let members = views.flatMap { $0.map.swarm(shard) } + role.record.former.keys
            for other in members where other != node { shared[other, default: []].insert(shard) }
        }
        for peer in peers.keys where shared[peer] == nil { drop(exchangeWith: peer) }
        peers = peers.filter { shared[$0.key] != nil }
        let share = settings.quota / UInt64(max(1, shared.count))
        // A joined shard may come from one peer alone, as far as the peer has it, except for one part of each swarm.
        let most = settings.quota / UInt64(max(2, (views.first?.map.size ?? 0) - 1))
        let (quota, own) = (settings.quota, UInt64(max(1, roles.count)))
        for (other, shards) in shared.sorted(by: { $0.key < $1.key }) {
            let joinShare = min(most, quota / own * UInt64(shards.count))
            var peer =
                peers[other]
                ?? ReplicaPeer(
                    share: share, joinShare: joinShare,
                    nextCompare: now + UInt64.random(in: 0..<60_000, using: &holdings.random), now: now)
            peer.resize(share: share, joinShare: joinShare)
            peer.shards = shards.sorted()
            peer.pauses = peer.pauses.filter { shards.contains($0.key) }
            peer.places = peer.places.filter { shards.contains($0.key) }
            peers[other] = peer
        }
        // A coordinator accepts half of what the others accept from it, as if all of it went to one peer.
        let common = UInt64(max(1, shared.values.map(\.count).max() ?? 0))
        coordinator.share(share / 2 / common, Set(roles.keys))
    }
}
