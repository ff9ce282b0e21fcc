public import Wire

/// A network's shared constants, its bootstrap nodes, and the snapshot that is trusted first.
///
/// The file is JSON (protocol.md, section 10.6; `NetworkFile(json:)`). It holds no secrets.
///
/// It has more members than most types: one for each key of the file.
public struct NetworkFile: Hashable, Sendable {
    /// A node that new clients and nodes ask first.
    public struct Bootstrap: Hashable, Sendable {
        /// The node id.
        public var node: NodeID
        /// Where it listens, at most one address of each family.
        public var addresses: [Endpoint]

        /// The node `node` at `addresses`.
        public init(node: NodeID, addresses: [Endpoint]) {
            self.node = node
            self.addresses = addresses
        }
    }

    /// An authority, which signs the registry's ledger or a signed file.
    public struct AuthorityEntry: Hashable, Sendable {
        /// The public key.
        public var key: Bytes32
        /// The node at which the authority is reached.
        public var node: NodeID

        /// The authority `key` at `node`.
        public init(key: Bytes32, node: NodeID) {
            self.key = key
            self.node = node
        }
    }

    /// The beginning and the times of the registry's ledger; the module `Registry` reads its bytes.
    public struct Ledger: Hashable, Sendable {
        /// Seconds from one block to the next.
        public var blockSeconds: UInt64 = 120
        /// Seconds for which one authority leads.
        public var slotSeconds: UInt64 = 10
        /// The encoded state of the registry before the first block.
        public var genesis: [UInt8]
        /// The first blocks, encoded; they register the network's first nodes.
        public var blocks: [[UInt8]]

        /// A ledger that begins with the state `genesis` and `blocks`.
        public init(genesis: [UInt8], blocks: [[UInt8]]) {
            self.genesis = genesis
            self.blocks = blocks
        }
    }

    /// The numbers of the swarm store, by which everyone computes which nodes hold a box.
    public struct Swarms: Hashable, Sendable {
        /// How many shards there are, a power of two from 64 to 65,536; 0: the network has no store.
        public var shards = 0
        /// How many nodes hold a shard, an odd number from 3 to 15.
        public var size = 7
        /// Whether the results of storage tests count in votes on nodes; else they are only shown.
        public var storageVerdicts = true

        /// The numbers of a network without a store.
        public init() {}

        /// Whether the network has a store.
        public var hasStore: Bool { shards > 0 }
    }

    /// The smallest and the largest packet size in bytes: the first fits every IPv6 link, the second fits Ethernet.
    public static let packetSizes = 1232...1452
    /// The packet size if the file has none.
    public static let defaultPacketSize = 1392

    /// A name for people.
    public var name: String
    /// The network's id, which is part of every handshake and signature.
    public var id: Bytes32
    /// The size of every datagram in bytes.
    public var packetSize = NetworkFile.defaultPacketSize
    /// Seconds between two snapshots, if the registry makes new ones.
    public var epochSeconds: UInt64 = 3600
    /// The age in seconds above which a snapshot is too old to build paths with; 0 for a registry that does not change.
    ///
    /// Unless it is 0, a reader follows no update from a snapshot older than both this and
    /// ``SnapshotChain/trustLifetime``.
    public var snapshotMaximumAge = SnapshotChain.trustLifetime
    /// Whether nodes may have private and loopback addresses, for tests; ``isPrivate`` says what else follows.
    public var allowPrivateAddresses = false
    /// Whether the hops of a path must belong to different operators.
    public var requireOperatorDiversity = true
    /// Whether the hops of a path must be in different address ranges (/16 of IPv4, /32 of IPv6).
    public var requireAddressDiversity = true
    /// The largest share, in percent, of one operator's nodes in the random choice of hops.
    public var operatorSharePercent = 10
    /// The limits of the nodes.
    public var limits = NetworkLimits()
    /// The numbers of the swarm store.
    public var swarms = Swarms()
    /// The authorities that sign the ledger or a signed file, at most 32; empty if the snapshot is the registry and
    /// never changes.
    public var authorities: [AuthorityEntry] = []
    /// The number of authorities that must sign; more than half of them.
    public var authorityThreshold = 0
    /// The ledger of the registry; nil if the network has none.
    public var ledger: Ledger?
    /// The nodes that new clients and nodes ask first.
    public var bootstrap: [Bootstrap]
    /// The first trusted snapshot: a user who trusts this file trusts it.
    public var snapshot: SignedSnapshot

    /// A network with these values, and defaults for the rest.
    public init(name: String, id: Bytes32, bootstrap: [Bootstrap], snapshot: SignedSnapshot) {
        self.name = name
        self.id = id
        self.bootstrap = bootstrap
        self.snapshot = snapshot
    }

    /// Throws unless the values fit together; the error names the wrong key and what to do.
    public func validate() throws(NetworkFileError) { try validate(isDraft: false) }

    /// Whether exits may be asked for hosts of the client's own network, and answer with their addresses.
    ///
    /// Besides the permission, it takes a network without public nodes. Otherwise whoever makes a network file could
    /// lead apps of users anywhere to hosts behind their firewalls.
    public var isPrivate: Bool {
        allowPrivateAddresses && bootstrap.allSatisfy { $0.addresses.allSatisfy { !$0.address.isPublic } }
    }

    /// Checks as ``validate()`` does, but does not check the signatures of a draft.
    func validate(isDraft: Bool) throws(NetworkFileError) {
        func require(_ condition: Bool, _ key: String, _ remedy: String) throws(NetworkFileError) {
            if !condition { throw .invalid(key: key, remedy: remedy) }
        }
        try require(
            1...64 ~= name.utf8.count && name.utf8.allSatisfy { 0x20...0x7e ~= $0 }, "name",
            "use 1 to 64 printable ASCII characters")
        try require(!id.isZero, "id", "use the network's id, which is not zero")
        try require(
            Self.packetSizes.contains(packetSize), "packetSize",
            "use \(Self.packetSizes.lowerBound) to \(Self.packetSizes.upperBound) bytes")
        try require(1...604_800 ~= epochSeconds, "epochSeconds", "use 1 to 604800 seconds")
        try require(
            snapshotMaximumAge == 0 || snapshotMaximumAge >= epochSeconds, "snapshotMaximumAge",
            "use 0 for a registry that does not change, else at least epochSeconds")
        try require(1...100 ~= operatorSharePercent, "operatorSharePercent", "use 1 to 100 percent")
        try require(
            swarms.shards == 0 || (64...65_536).contains(swarms.shards) && swarms.shards.nonzeroBitCount == 1, "shards",
            "use a power of two from 64 to 65536, or 0 for no store")
        try require(3...15 ~= swarms.size && swarms.size % 2 == 1, "swarmSize", "use an odd number from 3 to 15")
        try require(
            swarms.storageVerdicts || swarms.hasStore, "storageVerdicts", "leave it out of a network without shards")
        try require(
            authorities.count <= 32 && Set(authorities.map(\.key)).count == authorities.count
                && Set(authorities.map(\.node)).count == authorities.count, "authorities",
            "name at most 32 authorities, each key and each node once")
        try require(
            authorities.isEmpty
                ? authorityThreshold == 0 : authorities.count / 2 + 1...authorities.count ~= authorityThreshold,
            "authorityThreshold", "use more than half of the authorities, and no more than all")
        if let ledger {
            try require(!authorities.isEmpty, "ledger", "name the authorities that sign it")
            try require(1...86_400 ~= ledger.blockSeconds, "ledger.blockSeconds", "use 1 to 86400 seconds")
            try require(
                1...ledger.blockSeconds ~= ledger.slotSeconds, "ledger.slotSeconds", "use 1 to blockSeconds seconds")
        }
        for field in NetworkLimits.fields {
            try require(
                field.range.contains(limits[keyPath: field.path]), "limits.\(field.key)",
                "use \(field.range.lowerBound) to \(field.range.upperBound)")
        }
        try require(1...256 ~= bootstrap.count, "bootstrap", "name 1 to 256 nodes")
        for (index, entry) in bootstrap.enumerated() {
            let key = "bootstrap[\(index)]"
            try require(
                snapshot.snapshot.isStaked(entry.node), "\(key).id", "name a node that is staked in the snapshot")
            let families = Set(entry.addresses.map { $0.address.v4 == nil })
            try require(
                !entry.addresses.isEmpty && families.count == entry.addresses.count, "\(key).addresses",
                "give one IPv4 address, one IPv6 address, or both")
            try require(
                entry.addresses.allSatisfy {
                    DescriptorStore.isAcceptable($0, allowingPrivate: allowPrivateAddresses)
                }, "\(key).addresses", "use public addresses, or set allowPrivateAddresses for a test network")
        }
        try require(snapshot.snapshot.network == id, "snapshot", "take one of this network")
        guard !isDraft else { return }
        do {
            _ = try SnapshotChain(network: id, first: snapshot)
        } catch {
            throw .invalid(
                key: "snapshot",
                remedy: "get the network file again from its source: the snapshot does not verify (\(error))")
        }
    }
}

/// Why a network file cannot be used; the description names the key and what to do.
public enum NetworkFileError: Error, Equatable, CustomStringConvertible {
    /// The text is larger than a network file may be.
    case tooLarge
    /// The text is not JSON.
    case notJSON(String)
    /// A required key is missing.
    case missingKey(String)
    /// A key is unknown; `nearest` is the most similar known key.
    case unknownKey(String, nearest: String?)
    /// A value has the wrong type or is out of range.
    case invalid(key: String, remedy: String)

    /// One sentence for the user.
    public var description: String {
        switch self {
        case .tooLarge: "the network file is larger than \(NetworkFile.maximumFileSize) bytes; it must be another file"
        case .notJSON(let reason): "the network file is not JSON (\(reason)); get it again from its source"
        case .missingKey(let key): "the network file lacks \"\(key)\"; add it, or get the file again from its source"
        case .unknownKey(let key, let nearest):
            if let nearest {
                "the network file has an unknown key \"\(key)\"; did you mean \"\(nearest)\"?"
            } else {
                "the network file has an unknown key \"\(key)\"; remove it, or use a version of tunic that knows it"
            }
        case .invalid(let key, let remedy): "the network file's \"\(key)\" is wrong: \(remedy)"
        }
    }
}
