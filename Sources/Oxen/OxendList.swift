internal import OnionCrypto
public import Wire

/// A node in a daemon's list.
public struct OxendNode: Hashable, Sendable {
    /// The state of a node on the chain.
    public enum Standing: CaseIterable, Sendable {
        /// Not fully funded.
        case open
        /// Funded and serving.
        case active
        /// Funded, and suspended for bad service.
        case decommissioned

        /// Its name in reports, which does not change with the name in the source.
        public var name: String {
            switch self {
            case .open: "open"
            case .active: "active"
            case .decommissioned: "decommissioned"
            }
        }
    }

    /// The part of one address in a node's stake.
    public struct Contribution: Hashable, Sendable {
        /// The contributor's address, as on the chain.
        public let address: String
        /// The amount in atomic units.
        public let amount: UInt64
    }

    /// Its Ed25519 key.
    public let node: NodeID
    /// The node's key on the chain, in hexadecimal, as reports need it.
    public let serviceKey: String
    /// The node's state.
    public let standing: Standing
    /// The operator's address, as on the chain.
    public let operatorAddress: String
    /// The operator's fee in millionths.
    public let fee: UInt64
    /// The present stake in atomic units.
    public let stake: UInt64
    /// The full stake in atomic units.
    public let requirement: UInt64
    /// The contributions, including the operator's.
    public let contributions: [Contribution]
    /// The height at which it was registered.
    public let registrationHeight: UInt64
    /// The height of its last change of state.
    public let stateHeight: UInt64
    /// The height at which it leaves; 0 if no leave was requested.
    public let unlockHeight: UInt64
    /// The blocks for which it may be away (active), or the blocks left of them (decommissioned).
    public let creditBlocks: Int64
    /// How often it was decommissioned.
    public let decommissions: UInt64
    /// The time of its last uptime proof in seconds since 1970; 0: none.
    public let lastProof: UInt64

    /// The operator in a snapshot: an address of 20 bytes padded with zeros in front, or the digest of another kind of
    /// address.
    public var operatorID: Bytes32 {
        if operatorAddress.hasPrefix("0x"), let bytes = bytes(hexadecimal: String(operatorAddress.dropFirst(2))),
            bytes.count == 20, let id = Bytes32([UInt8](repeating: 0, count: 12) + bytes)
        {
            return id
        }
        return Blake2b.digest((MessagePrefix.oxendOperator.bytes + Array(operatorAddress.utf8)).rawSpan)
    }
}

/// The nodes at one block of the chain.
public struct OxendList: Hashable, Sendable {
    /// The height of the top block.
    public let height: UInt64
    /// The height of the other nodes' chains by the daemon's account; 0 if it knows of no others.
    public let targetHeight: UInt64
    /// The top block's hash, 64 hexadecimal digits.
    public let blockHash: String
    /// The nodes whose Ed25519 key is known.
    public let nodes: [OxendNode]

    /// How many nodes have this standing.
    public func count(_ standing: OxendNode.Standing) -> Int { nodes.count { $0.standing == standing } }
}

extension OxendList {
    /// The list in a result; throws if the result has none.
    init(_ result: NodeListResult) throws(OxendError) {
        guard let height = result.height else { throw .malformed("no height") }
        guard let hash = result.blockHash, bytes(hexadecimal: hash)?.count == 32 else {
            throw .malformed("no block hash")
        }
        guard let states = result.nodes else { throw .malformed("no list of nodes") }
        self.height = height
        targetHeight = result.targetHeight ?? 0
        blockHash = hash
        var nodes: [OxendNode] = []
        nodes.reserveCapacity(states.count)
        for state in states {
            // Where nodes have two keys, the daemon knows the Ed25519 key only after the node's first uptime proof.
            guard let key = state.key, !key.isEmpty else { continue }
            guard let id = Bytes32(bytes(hexadecimal: key) ?? []), bytes(hexadecimal: state.serviceKey)?.count == 32
            else {
                throw .malformed("a key is invalid")
            }
            // The registration height decides where a funded node is placed.
            guard state.registrationHeight != nil || !(state.active || state.funded) else {
                throw .malformed("a funded node has no registration height")
            }
            nodes.append(
                OxendNode(
                    node: NodeID(id), serviceKey: state.serviceKey,
                    standing: state.active ? .active : state.funded ? .decommissioned : .open,
                    operatorAddress: state.operatorAddress, fee: state.operatorFee ?? 0, stake: state.contributed ?? 0,
                    requirement: state.requirement ?? 0,
                    contributions: (state.contributors ?? []).map { .init(address: $0.address, amount: $0.amount) },
                    registrationHeight: state.registrationHeight ?? 0, stateHeight: state.stateHeight ?? 0,
                    unlockHeight: state.unlockHeight ?? 0, creditBlocks: state.creditBlocks ?? 0,
                    decommissions: state.decommissions ?? 0, lastProof: state.lastProof ?? 0))
        }
        self.nodes = nodes
    }
}
