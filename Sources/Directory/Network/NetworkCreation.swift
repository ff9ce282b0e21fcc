public import OnionCrypto
public import Wire

/// A new network: the keys of its first nodes, their registry signed by all of them, and the network file.
///
///     var creation = NetworkCreation(name: "devnet", nodes: plans, at: now)
///     creation.file.allowPrivateAddresses = true
///     for node in creation.nodes { /* write node.key to a key file */ }
///     try creation.file.validate()
public struct NetworkCreation {
    /// What is decided about a first node before it has a key.
    public struct Plan: Sendable {
        /// Where it will listen, one address of each family at most; without any it is not a bootstrap node.
        public var addresses: [Endpoint]
        /// Which operator it belongs to: equal numbers are the same operator; `nil` is one of its own.
        public var operatorNumber: Int?
        /// What it can carry next to others.
        public var weight: UInt32

        /// A node at `addresses`.
        public init(addresses: [Endpoint], operatorNumber: Int? = nil, weight: UInt32 = 1_000) {
            self.addresses = addresses
            self.operatorNumber = operatorNumber
            self.weight = weight
        }
    }

    /// A first node with its key, which is wiped when the last reference to it goes.
    public final class Node {
        /// The node's identity.
        public let key: SigningKey
        /// What was decided about it.
        public let plan: Plan
        /// Who it is.
        public var id: NodeID { NodeID(key.publicKey) }

        init(key: consuming SigningKey, plan: Plan) {
            self.key = key
            self.plan = plan
        }
    }

    /// The nodes in the order of their plans.
    public let nodes: [Node]
    /// The network file, whose other values may still be changed.
    public var file: NetworkFile

    /// Makes a random network id, a key and a placement for each plan (at least one, 10,000 at most), and the first snapshot at
    /// height 1.
    ///
    /// With fewer than three operators the file does not require different ones along a path. The snapshot has no maximum age, for
    /// without a ledger or authorities nobody makes another; who adds these gives it one.
    public init(name: String, nodes plans: [Plan], at now: UnixTime) {
        precondition(1...Snapshot.maximumNodes ~= plans.count, "a network has 1 to 10,000 nodes")
        let network = Bytes32(copying: SecureRandom.bytes(32).rawSpan)
        nodes = plans.map { Node(key: SigningKey(), plan: $0) }
        let entries = nodes.map { node in
            Snapshot.Entry(
                node: node.id, operatorID: Self.operatorID(of: node, network: network), weight: node.plan.weight,
                placement: SecureRandom.u64())
        }
        guard let snapshot = Snapshot(network: network, height: 1, time: now, entries: entries) else {
            preconditionFailure("fresh keys differ")
        }
        var signed = SignedSnapshot(snapshot)
        let digest = snapshot.digest
        for node in nodes { signed.sign(with: node.key, digest: digest) }
        file = NetworkFile(
            name: name, id: network,
            bootstrap: nodes.filter { !$0.plan.addresses.isEmpty }.prefix(16).map {
                NetworkFile.Bootstrap(node: $0.id, addresses: $0.plan.addresses)
            }, snapshot: signed)
        file.requireOperatorDiversity = Set(entries.map(\.operatorID)).count >= 3
        file.snapshotMaximumAge = 0
    }

    /// Begins with `snapshot` in place of the one that was made, signed by all first nodes, which must be staked in it.
    public mutating func begin(with snapshot: Snapshot) {
        var signed = SignedSnapshot(snapshot)
        let digest = snapshot.digest
        for node in nodes { signed.sign(with: node.key, digest: digest) }
        file.snapshot = signed
        file.requireOperatorDiversity = Set(snapshot.entries.map(\.operatorID)).count >= 3
    }

    private static func operatorID(of node: Node, network: Bytes32) -> Bytes32 {
        var writer = ByteWriter()
        writer.prefix(.operatorID)
        writer.bytes32(network)
        if let number = node.plan.operatorNumber {
            writer.u64(UInt64(bitPattern: Int64(number)))
        } else {
            writer.nodeID(node.id)
        }
        return Blake2b.digest(writer.bytes.rawSpan)
    }
}
