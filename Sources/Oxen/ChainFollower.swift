internal import OnionCrypto
public import Wire

/// Evaluates a daemon's answers for the registry: which list becomes a snapshot, and which answer is refused.
///
/// Every node must make the same bytes. A snapshot is therefore made of the list at a block whose height is a multiple
/// of the epoch's blocks, with that height and that block's time. It is made after two more blocks, if the block is
/// still on the chain and the hashes of the blocks that place its nodes are known. A node that missed the block makes
/// no snapshot for that epoch and takes the others'.
public struct ChainFollower: Sendable {
    /// How many blocks must follow a block before its list becomes a snapshot, or its hash places nodes.
    public static let settlingBlocks: UInt64 = 2
    /// The most blocks whose hashes are requested at once.
    public static let hashesAtOnce = 256

    private let network: Bytes32
    private let epochBlocks: UInt64
    /// The newest accepted list.
    public private(set) var newest: OxendList?
    /// The lists at epochs' blocks that have not become snapshots yet, by ascending height.
    private var pending: [OxendList] = []
    /// The hashes of the blocks that place the nodes of these lists, by height; requested anew for each snapshot.
    private var hashes: [UInt64: Bytes32] = [:]
    /// The newest snapshot.
    public private(set) var snapshot: Snapshot?

    /// A follower without lists, for epochs of `epochBlocks` blocks, at least one.
    public init(network: Bytes32, epochBlocks: UInt64) {
        self.network = network
        self.epochBlocks = max(1, epochBlocks)
    }

    /// The hash of the newest list's block, sent with the next request so that the daemon can answer "unchanged".
    public var pollHash: String? { newest?.blockHash }

    /// The height of the newest block that ``settlingBlocks`` others follow.
    private var settledHeight: UInt64? {
        newest.flatMap { $0.height >= Self.settlingBlocks ? $0.height - Self.settlingBlocks : nil }
    }

    /// The height whose block header is needed now: that of the newest settled list all of whose nodes can be placed.
    public var wantedHeader: UInt64? {
        guard let settled = settledHeight else { return nil }
        return pending.last { list in
            list.height <= settled && list.placingBlocks.allSatisfy { $0 > list.height || hashes[$0] != nil }
        }?.height
    }

    /// The heights of the settled blocks whose hashes are needed now, ascending, at most ``hashesAtOnce``.
    public var wantedHashes: [UInt64] {
        guard let newest, let settled = settledHeight else { return [] }
        var wanted: Set<UInt64> = []
        for list in pending + [newest] {
            for height in list.placingBlocks where height <= settled && hashes[height] == nil { wanted.insert(height) }
        }
        return Array(wanted.sorted().prefix(Self.hashesAtOnce))
    }

    /// Adds a list; one that throws changes nothing, but if the chain went back, hashes are requested again.
    public mutating func take(_ list: OxendList) throws(OxendError) {
        if let newest, list.height < newest.height {
            hashes = [:]
            throw .wentBack(from: newest.height, to: list.height)
        }
        // A daemon one block behind its target counts as synced.
        if list.targetHeight > list.height, list.targetHeight - list.height > 1 {
            throw .syncing(height: list.height, target: list.targetHeight)
        }
        guard list.count(.active) > 0 else { throw .noActiveNode }
        newest = list
        if list.height.isMultiple(of: epochBlocks), list.height > snapshot?.height ?? 0 {
            pending.removeAll { $0.height >= list.height }
            if pending.count > Int(Self.settlingBlocks) { pending.removeFirst() }
            pending.append(list)
        }
        guard !hashes.isEmpty else { return }
        let kept = (pending + [list]).reduce(into: Set<UInt64>()) { $0.formUnion($1.placingBlocks) }
        hashes = hashes.filter { kept.contains($0.key) }
    }

    /// Adds the hashes of blocks by height; those that were not needed are ignored.
    public mutating func takeHashes(_ blocks: [(height: UInt64, hash: String)]) throws(OxendError) {
        let wanted = Set(wantedHashes)
        for block in blocks where wanted.contains(block.height) {
            guard let bytes = bytes(hexadecimal: block.hash), let hash = Bytes32(bytes) else {
                throw .malformed("no block hash")
            }
            hashes[block.height] = hash
        }
    }

    /// Adds the header of the needed height and makes the snapshot; throws if the block was replaced or the list makes
    /// no snapshot.
    public mutating func takeHeader(height: UInt64, hash: String, time: UnixTime) throws(OxendError) {
        guard let list = pending.first(where: { $0.height == height }) else { return }
        guard hash.lowercased() == list.blockHash.lowercased() else {
            pending.removeAll { $0.height <= height }
            hashes = [:]
            throw .replaced(height: height)
        }
        var entries: [Snapshot.Entry] = []
        let shared = list.sharedKeys
        for node in list.nodes where node.standing != .open && !shared.contains(node.node) {
            // Registered in the list's own block: the block that places the node comes after it.
            guard let block = node.placingBlock, block <= height else { continue }
            guard let hash = hashes[block] else { return }
            entries.append(
                Snapshot.Entry(
                    node: node.node, operatorID: node.operatorID,
                    state: node.standing == .active ? .staked : .suspended, weight: 1,
                    placement: node.node.placement(block: hash, network: network)))
        }
        pending.removeAll { $0.height <= height }
        // The next snapshot requests them anew, so a hash of a replaced block spoils one snapshot at most.
        hashes = [:]
        guard entries.contains(where: \.isStaked),
            let made = Snapshot(network: network, height: height, time: time, entries: entries)
        else {
            throw .notASnapshot
        }
        snapshot = made
    }
}

extension OxendNode {
    /// The height of the block that places the node: the one after its registration.
    var placingBlock: UInt64? {
        let next = registrationHeight.addingReportingOverflow(1)
        return next.overflow ? nil : next.partialValue
    }
}

extension OxendList {
    /// The keys that several funded service nodes name as theirs, which a snapshot cannot hold.
    ///
    /// All entries of such a key are left out, as every node does alike. Otherwise the two nodes' owner would keep all
    /// others from making a snapshot.
    fileprivate var sharedKeys: Set<NodeID> {
        var (seen, shared): (Set<NodeID>, Set<NodeID>) = ([], [])
        for node in nodes where node.standing != .open && !seen.insert(node.node).inserted { shared.insert(node.node) }
        return shared
    }

    /// The heights of the blocks that place the funded nodes.
    fileprivate var placingBlocks: Set<UInt64> {
        nodes.reduce(into: []) { heights, node in
            if node.standing != .open, let height = node.placingBlock { heights.insert(height) }
        }
    }
}
