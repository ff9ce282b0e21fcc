public import Wire

/// What a daemon's answers mean for the registry: which list becomes a snapshot, and which answer is not believed.
///
/// Every node must make the same bytes. Therefore a snapshot is made of the list at a block whose height is a multiple of the
/// epoch's blocks, has that height and that block's time, and is offered once two more blocks stand above and the block is
/// still there. Whoever missed the block makes none for that epoch and takes the others'.
public struct ChainFollower: Sendable {
    /// How many blocks stand above the one whose list becomes a snapshot.
    public static let settlingBlocks: UInt64 = 2

    private let network: Bytes32
    private let epochBlocks: UInt64
    /// The newest list that was believed.
    public private(set) var newest: OxendList?
    /// The lists at epochs' blocks that have not become snapshots, by ascending height: with epochs of one block, those that settle.
    private var pending: [OxendList] = []
    /// The newest snapshot.
    public private(set) var snapshot: Snapshot?

    /// A follower that has seen nothing, for epochs of so many blocks, at least one.
    public init(network: Bytes32, epochBlocks: UInt64) {
        self.network = network
        self.epochBlocks = max(1, epochBlocks)
    }

    /// The hash of the newest list's block, to be asked whether it is still the top one.
    public var pollHash: String? { newest?.blockHash }

    /// The height whose block's header is wanted now: that of a list which has settled.
    public var wantedHeader: UInt64? {
        guard let newest, newest.height >= Self.settlingBlocks else { return nil }
        return pending.last { $0.height <= newest.height - Self.settlingBlocks }?.height
    }

    /// Takes a list; what throws leaves all as it was.
    public mutating func take(_ list: OxendList) throws(OxendError) {
        if list.targetHeight > list.height + 1 { throw .syncing(height: list.height, target: list.targetHeight) }
        if let newest, list.height < newest.height { throw .wentBack(from: newest.height, to: list.height) }
        guard list.count(.active) > 0 else { throw .noActiveNode }
        newest = list
        guard list.height.isMultiple(of: epochBlocks), list.height > snapshot?.height ?? 0 else { return }
        pending.removeAll { $0.height >= list.height }
        if pending.count > Int(Self.settlingBlocks) { pending.removeFirst() }
        pending.append(list)
    }

    /// Takes the header of the wanted height, and makes the snapshot.
    public mutating func takeHeader(height: UInt64, hash: String, time: UnixTime) throws(OxendError) {
        guard let list = pending.first(where: { $0.height == height }) else { return }
        pending.removeAll { $0.height <= height }
        guard hash.lowercased() == list.blockHash.lowercased() else { throw .replaced(height: height) }
        let entries = list.nodes.compactMap { node -> Snapshot.Entry? in
            guard node.standing != .open else { return nil }
            return Snapshot.Entry(
                node: node.node, operatorID: node.operatorID, state: node.standing == .active ? .staked : .suspended,
                weight: 1)
        }
        guard let made = Snapshot(network: network, height: height, time: time, entries: entries) else {
            throw .notASnapshot
        }
        snapshot = made
    }
}
