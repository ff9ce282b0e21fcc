internal import Wire

/// The places of ``DescriptorTable`` by shard, in a shard by coordinator, and at a coordinator by bringer.
///
/// Each level is shared on its own, because no single one of these counts suffices:
///
/// - By coordinator alone, who is a replica of many of this node's shards holds the most, and loses names for a flood
///   of any shard.
/// - By the node that brought a name, a client has a share for each proxy that it uses, while all that another replica
///   brings is one share.
struct DescriptorPlaces: Sendable {
    /// What an entry counts for.
    struct Source: Hashable, Sendable {
        /// The shard of its box.
        let shard: UInt16
        /// The replica that a client stored it at: this node or another.
        let coordinator: NodeID
        /// The node that brought it here: the client's proxy, or the coordinator.
        let bringer: NodeID

        fileprivate var group: Group { Group(shard: shard, coordinator: coordinator) }
    }

    /// What one coordinator brought for one shard.
    fileprivate struct Group: Hashable {
        let shard: UInt16
        let coordinator: NodeID
    }

    private var shards: GroupedShares<UInt16, NodeID>
    private var groups: GroupedShares<Group, NodeID>

    /// A table of `capacity` places.
    init(capacity: Int) {
        shards = GroupedShares(capacity: capacity)
        groups = GroupedShares(capacity: capacity)
    }

    /// How many places there are.
    var capacity: Int { shards.capacity }
    /// Whether a place is free.
    var hasRoom: Bool { shards.count < capacity }

    /// How many entries count for `source`.
    func places(of source: Source) -> Int { groups.places(of: source.bringer, in: source.group) }

    /// The source that loses an entry in a full table so that `source` gets a place; nil: the others need theirs.
    ///
    /// It is of the largest shard, in it of the largest coordinator, and of that one's largest bringer. Where those of
    /// `source` are as large, one of its own goes.
    func loser(for source: Source) -> Source? {
        guard let largest = shards.largest else { return nil }
        let own = shards.places(of: source.shard)
        guard shards.places(of: largest) <= own + 1 else { return self.largest(in: largest) }
        guard own > 0, let coordinator = shards.largest(in: source.shard) else { return nil }
        let ownGroup = shards.places(of: source.coordinator, in: source.shard)
        guard shards.places(of: coordinator, in: source.shard) <= ownGroup + 1 else {
            return self.largest(in: Group(shard: source.shard, coordinator: coordinator))
        }
        guard ownGroup > 0, let bringer = groups.largest(in: source.group) else { return nil }
        let places = places(of: source)
        guard groups.places(of: bringer, in: source.group) <= places + 1 else { return self.largest(in: source.group) }
        return places > 0 ? source : nil
    }

    private func largest(in shard: UInt16) -> Source? {
        shards.largest(in: shard).flatMap { largest(in: Group(shard: shard, coordinator: $0)) }
    }

    private func largest(in group: Group) -> Source? {
        groups.largest(in: group).map { Source(shard: group.shard, coordinator: group.coordinator, bringer: $0) }
    }

    /// Whether an entry of `old` is safer if it counts for `new`: a coordinator with less of the same shard.
    func isBetter(_ new: Source, than old: Source) -> Bool {
        new.shard == old.shard
            && shards.places(of: new.coordinator, in: new.shard) + 1 < shards.places(of: old.coordinator, in: old.shard)
    }

    /// Counts an entry of `source`.
    mutating func add(_ source: Source) {
        shards.add(source.coordinator, in: source.shard)
        groups.add(source.bringer, in: source.group)
    }

    /// Returns the place of an entry of `source`.
    mutating func release(_ source: Source) {
        shards.release(source.coordinator, in: source.shard)
        groups.release(source.bringer, in: source.group)
    }
}
