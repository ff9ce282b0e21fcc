public import Wire

/// Evaluates a daemon's answers for the registry: which list becomes a snapshot, and which answer is refused.
///
/// Every node must make the same bytes. A snapshot is therefore made of the list at a block whose height is a multiple
/// of the epoch's blocks, with that height and that block's time. It is offered after two more blocks, if the block is
/// still there. A node that missed the block makes no snapshot for that epoch and follows the others'.
public struct ChainFollower: Sendable {
    /// How many blocks must follow the one whose list becomes a snapshot.
    public static let settlingBlocks: UInt64 = 2

    private let network: Bytes32
    private let epochBlocks: UInt64
    /// The newest accepted list.
    public private(set) var newest: OxendList?
    /// The lists at epochs' blocks that have not become snapshots yet, by ascending height.
    private var pending: [OxendList] = []
    /// The newest snapshot.
    public private(set) var snapshot: Snapshot?

    /// A follower without lists, for epochs of so many blocks, at least one.
    public init(network: Bytes32, epochBlocks: UInt64) {
        self.network = network
        self.epochBlocks = max(1, epochBlocks)
    }

    /// The hash of the newest list's block, sent with the next request so that the daemon can answer "unchanged".
    public var pollHash: String? { newest?.blockHash }

    /// The height whose block header is needed now: that of a list with enough following blocks.
    public var wantedHeader: UInt64? {
        guard let newest, newest.height >= Self.settlingBlocks else { return nil }
        return pending.last { $0.height <= newest.height - Self.settlingBlocks }?.height
    }

    /// Adds a list; a list that throws changes nothing.
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

    /// Adds the header of the needed height, and makes the snapshot.
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
