public import Wire

/// The proof that a majority of a swarm holds an item: receipts by one height.
public struct StoreProof: Hashable, Sendable {
    /// The item.
    public let id: ItemID
    /// The height of the snapshot that names the replicas.
    public let height: UInt64
    /// The receipts by replica.
    public let receipts: [NodeID: [UInt8]]

    /// Whether all receipts are valid, and made by members of `swarm`, and these are a majority of it.
    public func isGood(for swarm: BoxSwarm, network: Bytes32) -> Bool {
        swarm.height == height && receipts.count >= swarm.majority
            && receipts.allSatisfy { replica, receipt in
                swarm.members.contains(replica)
                    && StoreReceipt.isGood(receipt, of: replica, height: height, id: id, network: network)
            }
    }
}

/// A client's count of the receipts for an item that it stores (protocol.md, section 12.4).
///
/// Answers of several coordinators add up. No coordinator's word counts alone: a receipt is verified, and a refusal
/// counts when two replicas give it.
public struct StoreTally: Sendable {
    /// The state after an answer.
    public enum Outcome: Hashable, Sendable {
        /// A majority has signed.
        case stored(StoreProof)
        /// Two replicas refuse the item for the same reason.
        case refused(StoreRefusal)
        /// Another replica has to be asked.
        case open
    }

    private let id: ItemID
    private let swarm: BoxSwarm
    private let network: Bytes32
    private var receipts: [NodeID: [UInt8]] = [:]
    private var refusals: [NodeID: StoreRefusal] = [:]

    /// A count without answers for the item `id` of the swarm's box.
    public init(of id: ItemID, in swarm: BoxSwarm, network: Bytes32) {
        self.id = id
        self.swarm = swarm
        self.network = network
    }

    /// What the replicas have answered so far.
    public var count: StoreCount {
        let silent = swarm.members.count { receipts[$0] == nil && refusals[$0] == nil }
        return StoreCount(signed: receipts.count, refusals: Array(refusals.values), silent: silent)
    }

    /// Counts the answer of `replica`; nil: it cannot be read.
    public mutating func add(_ answer: StoreAnswer?, from replica: NodeID) -> Outcome {
        switch answer {
        case .stored(swarm.height, let new):
            for entry in new {
                let index = Int(entry.index)
                guard swarm.members.indices.contains(index), receipts[swarm.members[index]] == nil else { continue }
                let member = swarm.members[index]
                guard StoreReceipt.isGood(entry.receipt, of: member, height: swarm.height, id: id, network: network)
                else { continue }
                receipts[member] = entry.receipt
            }
        case .refused(let refusal): refusals[replica] = refusal
        case .stored, .deleted, .listed, .items, nil: break
        }
        if receipts.count >= swarm.majority {
            return .stored(StoreProof(id: id, height: swarm.height, receipts: receipts))
        }
        return StoreRefusal.agreed(among: refusals.values).map { .refused($0) } ?? .open
    }
}
