/// The registry at one height (protocol.md, section 10.2), without signatures.
///
/// A decoded value keeps to every rule of the format.
public struct Snapshot: Hashable, Sendable {
    /// The version of the format.
    public static let version: UInt8 = 2
    /// The largest number of nodes.
    public static let maximumNodes = 10_000
    /// The largest number of bytes before the first entry.
    static let headSize = 1 + 32 + 8 + 8 + 32 + SnapshotPreface.maximumSize + 2

    /// The state of a node in the registry; values that this version does not know count as not staked.
    public struct State: RawRepresentable, Hashable, Sendable {
        /// The byte on the wire.
        public let rawValue: UInt8
        /// The state whose byte is `rawValue`.
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// A full stake and in good standing: the node may be a hop, and it signs.
        public static let staked = State(rawValue: 1)
        /// A full stake, but suspended for bad service: the node is not a hop and does not sign.
        public static let suspended = State(rawValue: 2)
    }

    /// One node of the registry.
    public struct Entry: Hashable, Sendable {
        /// The length of an entry.
        public static let size = 32 + 32 + 1 + 4 + 8

        /// The registered node.
        public var node: NodeID
        /// The operator's id; an id shorter than 32 bytes is padded with zeros in front.
        public var operatorID: Bytes32
        /// Whether the node may be a hop and sign.
        public var state: State
        /// The node's weight, as measured by the registry; 0 counts as 1.
        public var weight: UInt32
        /// Where the node stands among the shards of the store: 8 bytes that it could not choose (section 12.3).
        public var placement: UInt64

        /// An entry of these values.
        public init(
            node: NodeID, operatorID: Bytes32, state: State = .staked, weight: UInt32, placement: UInt64
        ) {
            self.node = node
            self.operatorID = operatorID
            self.state = state
            self.weight = weight
            self.placement = placement
        }

        /// Whether it may be a hop and signs snapshots.
        public var isStaked: Bool { state == .staked }

        /// Whether it links as a node and its descriptor is kept: staked, or suspended and tested by others until it
        /// serves again.
        public var isListed: Bool { state == .staked || state == .suspended }
    }

    /// The id of the network whose registry this is.
    public let network: Bytes32
    /// The height; each snapshot has a greater one than the one before.
    public let height: UInt64
    /// When it was made.
    public let time: UnixTime
    /// The digest of the snapshot that the signers of this one trust; zeros in a first snapshot.
    public let previous: Bytes32
    /// What is signed and carried in front of the nodes.
    public let preface: SnapshotPreface
    /// The nodes, by ascending node id.
    public let entries: [Entry]

    /// The snapshot of `entries`, which it sorts; nil if a node occurs twice or there are too many.
    public init?(
        network: Bytes32, height: UInt64, time: UnixTime, previous: Bytes32 = Bytes32(),
        preface: SnapshotPreface = SnapshotPreface(), entries: [Entry]
    ) {
        guard entries.count <= Self.maximumNodes else { return nil }
        let sorted = entries.sorted { $0.node < $1.node }
        guard zip(sorted, sorted.dropFirst()).allSatisfy({ $0.node < $1.node }) else { return nil }
        self.init(
            network: network, height: height, time: time, previous: previous, preface: preface, sorted: sorted)
    }

    private init(
        network: Bytes32, height: UInt64, time: UnixTime, previous: Bytes32, preface: SnapshotPreface, sorted: [Entry]
    ) {
        self.network = network
        self.height = height
        self.time = time
        self.previous = previous
        self.preface = preface
        self.entries = sorted
    }

    /// The same registry as the successor of the snapshot with the digest `previous`.
    public func following(_ previous: Bytes32) -> Snapshot {
        Snapshot(
            network: network, height: height, time: time, previous: previous, preface: preface, sorted: entries)
    }

    /// The staked nodes, by ascending node id: the voters for the next snapshot.
    public var voters: [NodeID] { entries.lazy.filter(\.isStaked).map(\.node) }

    /// How many nodes are staked.
    public var stakedCount: Int { entries.reduce(0) { $0 + ($1.isStaked ? 1 : 0) } }

    /// The entry of `node`, by binary search.
    public func entry(of node: NodeID) -> Entry? {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].node < node { low = middle + 1 } else { high = middle }
        }
        return low < entries.count && entries[low].node == node ? entries[low] : nil
    }

    /// Whether `node` may be a hop.
    public func isStaked(_ node: NodeID) -> Bool { entry(of: node)?.isStaked ?? false }

    /// Whether `node` is staked or suspended.
    public func isListed(_ node: NodeID) -> Bool { entry(of: node)?.isListed ?? false }

    /// The encoding without signatures.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: Self.headSize + entries.count * Entry.size)
        writer.u8(Self.version)
        writer.bytes32(network)
        writer.u64(height)
        writer.u64(time.seconds)
        writer.bytes32(previous)
        preface.encode(to: &writer)
        writer.u16(UInt16(entries.count))
        for entry in entries { entry.encode(to: &writer) }
        return writer.bytes
    }

    /// Reads a snapshot without signatures from the front of `reader`.
    ///
    /// Another version throws `unknownKind`. Nodes out of order, duplicates, and too many nodes throw `outOfRange`.
    public static func decode(from reader: inout ByteReader) throws(WireError) -> Snapshot {
        let version = try reader.u8()
        guard version == Self.version else { throw .unknownKind(UInt64(version)) }
        let network = try reader.bytes32()
        let height = try reader.u64()
        let time = UnixTime(seconds: try reader.u64())
        let previous = try reader.bytes32()
        let preface = try SnapshotPreface(from: &reader)
        let entries = try decodeEntries(from: &reader)
        return Snapshot(
            network: network, height: height, time: time, previous: previous, preface: preface, sorted: entries)
    }

    /// Reads a count (u16) and as many entries, by ascending node id.
    public static func decodeEntries(from reader: inout ByteReader) throws(WireError) -> [Entry] {
        let count = Int(try reader.u16())
        guard count <= maximumNodes else { throw .outOfRange }
        guard reader.remaining >= count * Entry.size else { throw .truncated }
        var entries: [Entry] = []
        entries.reserveCapacity(count)
        for _ in 0..<count {
            let entry = try Entry(from: &reader)
            if let last = entries.last, !(last.node < entry.node) { throw .outOfRange }
            entries.append(entry)
        }
        return entries
    }
}

extension Snapshot.Entry {
    /// Appends the entry's 77 bytes.
    public func encode(to writer: inout ByteWriter) {
        writer.nodeID(node)
        writer.bytes32(operatorID)
        writer.u8(state.rawValue)
        writer.u32(weight)
        writer.u64(placement)
    }

    /// Reads an entry's 77 bytes.
    public init(from reader: inout ByteReader) throws(WireError) {
        self.init(
            node: try reader.nodeID(), operatorID: try reader.bytes32(),
            state: Snapshot.State(rawValue: try reader.u8()), weight: try reader.u32(),
            placement: try reader.u64())
    }
}

/// A snapshot with nodes' signatures; this type does not verify them.
public struct SignedSnapshot: Hashable, Sendable {
    /// The longest encoding in bytes.
    public static let maximumSize =
        Snapshot.headSize + Snapshot.maximumNodes * (Snapshot.Entry.size + Signature.size) + 2

    /// The signature of one node.
    ///
    /// It names its signer, not a place in a list, because its readers may trust different snapshots.
    public struct Signature: Hashable, Sendable {
        /// The length of a signature with its signer.
        public static let size = 32 + 64

        /// The node that signed.
        public let signer: NodeID
        /// The Ed25519 signature, 64 bytes.
        public let bytes: [UInt8]

        /// The signature of `signer`; `bytes` are 64.
        public init(signer: NodeID, bytes: [UInt8]) {
            precondition(bytes.count == 64, "a signature is 64 bytes long")
            self.signer = signer
            self.bytes = bytes
        }
    }

    /// The snapshot that ``signatures`` sign.
    public let snapshot: Snapshot
    /// The signatures, by ascending signer.
    public private(set) var signatures: [Signature]

    /// A snapshot without signatures.
    public init(_ snapshot: Snapshot) {
        self.snapshot = snapshot
        self.signatures = []
    }

    /// Inserts a signature in order; a second one of the same signer replaces the first, and one beyond the limit is
    /// left out.
    public mutating func add(_ signature: Signature) {
        let place = signatures.firstIndex { !($0.signer < signature.signer) } ?? signatures.count
        if place < signatures.count, signatures[place].signer == signature.signer {
            signatures[place] = signature
        } else if signatures.count < Snapshot.maximumNodes {
            signatures.insert(signature, at: place)
        }
    }

    /// The snapshot and its signatures (protocol.md, section 10.2).
    public func encoded() -> [UInt8] {
        var writer = ByteWriter()
        writer.raw(snapshot.encoded())
        Signature.encode(signatures, to: &writer)
        return writer.bytes
    }

    /// Reads a whole signed snapshot; remaining bytes throw `trailingBytes`, signers out of order `outOfRange`.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        snapshot = try Snapshot.decode(from: &reader)
        signatures = try Signature.list(from: &reader)
        try reader.end()
    }
}

extension SignedSnapshot.Signature {
    /// Writes a count u16 and signatures of 96 bytes.
    static func encode(_ signatures: [Self], to writer: inout ByteWriter) {
        writer.u16(UInt16(signatures.count))
        for signature in signatures {
            writer.nodeID(signature.signer)
            writer.raw(signature.bytes)
        }
    }

    /// Reads the output of ``encode(_:to:)``; signers out of order throw `outOfRange`.
    static func list(from reader: inout ByteReader) throws(WireError) -> [Self] {
        let count = Int(try reader.u16())
        guard count <= Snapshot.maximumNodes else { throw .outOfRange }
        guard reader.remaining >= count * size else { throw .truncated }
        var list: [Self] = []
        list.reserveCapacity(count)
        for _ in 0..<count {
            let signature = Self(signer: try reader.nodeID(), bytes: try reader.array(64))
            if let last = list.last, !(last.signer < signature.signer) { throw .outOfRange }
            list.append(signature)
        }
        return list
    }
}
