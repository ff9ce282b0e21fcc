internal import Wire

/// What a replica is for one of its shards.
struct ShardRole {
    /// What is kept of it on the disk.
    var record: ShardRecord
    /// Since when it may have missed something: it joined, or the process started.
    let since: UInt32
    /// Since when it stands in for a suspended node.
    var standIn: UInt32?
    /// Whether enough others have shown nothing that it lacks.
    var isComplete = false
    /// Up to which cut others were found to hold the same.
    var matched: [NodeID: UInt32] = [:]
    /// Former replicas, and until when they may take part.
    var former: [NodeID: UInt32] = [:]
    /// The newest `created` of what was taken.
    var newest: UInt32

    init(_ record: ShardRecord, since: UInt32) {
        self.record = record
        self.since = since
        newest = since
    }

    /// The most former replicas that are remembered.
    static let formerLimit = 64

    /// Whether it still waits before it pulls history.
    func waits(_ minute: UInt32) -> Bool {
        standIn.map { minute < $0 + SwarmLimits.standInMinutes } ?? false
    }

    /// Whether it pulls what it lacks by itself.
    var isJoining: Bool { !isComplete && record.left == nil }
}

extension Replica {
    /// The shards that the replica holds.
    public var shards: [UInt16] { roles.keys.sorted() }

    /// Whether a shard's replica has been shown what it may lack.
    public func isComplete(_ shard: UInt16) -> Bool {
        roles[shard].map { $0.isComplete && $0.record.left == nil } ?? false
    }

    /// Takes a snapshot; an older one, or one of the same height, changes nothing.
    mutating func follow(_ view: SwarmView) {
        guard view.height > height || views.isEmpty else { return }
        let old = views.first
        views.insert(view, at: 0)
        if views.count > SwarmLimits.maps { views.removeLast() }
        let own = Set(view.map.shards(of: node))
        for shard in own.sorted() {
            var role = roles[shard] ?? ShardRole(ShardRecord(joined: minute), since: minute)
            if role.record.left != nil || roles[shard] == nil {
                let former = role.former
                role = ShardRole(ShardRecord(joined: minute), since: minute)
                role.former = former
                holdings.storage.setShard(shard, role.record)
            }
            let isStandIn = view.withSuspended.map { $0.position(of: node, in: shard) == nil } ?? false
            role.standIn = isStandIn ? role.standIn ?? minute : nil
            roles[shard] = role
        }
        for shard in roles.keys.sorted() {
            if !own.contains(shard), var role = roles[shard], role.record.left == nil {
                role.record.left = minute
                roles[shard] = role
                holdings.storage.setShard(shard, role.record)
                moveReaders(of: shard)
            }
            if let old { remember(former: old.map.swarm(shard), of: shard, now: view.map) }
        }
        refreshPeers()
    }

    private mutating func remember(former: [NodeID], of shard: UInt16, now map: SwarmMap) {
        guard var role = roles[shard] else { return }
        role.former = role.former.filter { $0.value > minute && map.position(of: $0.key, in: shard) == nil }
        for other in former where map.position(of: other, in: shard) == nil && other != node {
            role.former[other] = role.former[other] ?? minute + SwarmLimits.leaveMinutes
        }
        while role.former.count > ShardRole.formerLimit,
            let first = role.former.min(by: { ($0.value, $0.key) < ($1.value, $1.key) })
        {
            role.former[first.key] = nil
        }
        // Only the replicas of now count.
        role.matched = role.matched.filter { map.position(of: $0.key, in: shard) != nil }
        roles[shard] = role
    }

    /// Whether this node is a replica of `shard` by one of the newest snapshots.
    func isNamed(for shard: UInt16) -> Bool { views.contains { $0.map.position(of: node, in: shard) != nil } }

    /// Whether `peer` may bring, compare and fetch what is in `shard`.
    func shares(_ shard: UInt16, with peer: NodeID) -> Bool {
        guard let role = roles[shard], peer != node else { return false }
        return role.former[peer].map { $0 > minute } ?? false
            || views.contains { $0.map.position(of: peer, in: shard) != nil }
    }

    /// Whether `shard` is compared with `peer`.
    func compares(_ shard: UInt16, with peer: NodeID) -> Bool {
        shares(shard, with: peer) && !(roles[shard]?.waits(minute) ?? true)
    }

    /// How many others must have shown a shard.
    private var witnesses: Int { views.first.map { min($0.map.majority, max(0, $0.map.size - 1)) } ?? .max }

    /// Notes that `peer` holds the same of `shard` up to `cut`.
    mutating func matched(_ shard: UInt16, with peer: NodeID, cut: UInt32) {
        guard views.first?.map.position(of: peer, in: shard) != nil else { return }
        let known = roles[shard]?.matched[peer] ?? 0
        roles[shard]?.matched[peer] = max(cut, known)
    }

    /// Completes and drops shards.
    mutating func checkRoles() {
        let settle = SwarmLimits.settleMinutes + SwarmLimits.rangeMinutes
        for shard in roles.keys.sorted() {
            guard let role = roles[shard] else { continue }
            if let left = role.record.left {
                let shown = role.matched.values.count { $0 >= max(left, role.newest) + settle }
                let isOver = minute >= left + SwarmLimits.leaveMinutes
                if shown >= witnesses || isOver, !isNamed(for: shard), holdings.drop(shard: shard, limit: 1_000) {
                    roles[shard] = nil
                    holdings.storage.setShard(shard, nil)
                    refreshPeers()
                }
            } else if !role.isComplete, !role.waits(minute),
                role.matched.values.count(where: { $0 >= role.since + settle }) >= witnesses
            {
                roles[shard]?.isComplete = true
                tellReaders(of: shard)
            }
        }
    }

    /// The shards that have anything to do with each other node.
    private mutating func refreshPeers() {
        var shared: [NodeID: Set<UInt16>] = [:]
        for (shard, role) in roles {
            let members = views.flatMap { $0.map.swarm(shard) } + role.former.keys
            for other in members where other != node { shared[other, default: []].insert(shard) }
        }
        peers = peers.filter { shared[$0.key] != nil }
        for (other, shards) in shared.sorted(by: { $0.key < $1.key }) {
            let share = settings.quota / UInt64(max(1, shared.count))
            var peer =
                peers[other]
                ?? ReplicaPeer(
                    share: share, nextCompare: now + UInt64.random(in: 0..<60_000, using: &holdings.random), now: now)
            peer.shards = shards.sorted()
            peer.pauses = peer.pauses.filter { shards.contains($0.key) }
            peers[other] = peer
        }
    }
}
