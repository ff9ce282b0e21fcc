public import Wire

/// The form in which a node keeps its history on disk.
extension SnapshotHistory {
    private static let magic: [UInt8] = Array("tunichs3".utf8)
    /// The form before, which has a whole snapshot at its beginning.
    private static let magicBefore: [UInt8] = Array("tunichs2".utf8)
    /// The bytes of a step without a change.
    private static let leastStep = SnapshotUpdate.Header.size + 1

    /// The encoding: the beginning, the newest snapshot, the steps, the signatures.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 1 << 20)
        writer.raw(Self.magic)
        writer.u64(first.height)
        writer.bytes32(first.digest)
        writer.u8(first.hasVoters ? 1 : 0)
        Self.write(first.voters, to: &writer)
        writer.raw(newest.encoded())
        writer.u32(UInt32(steps.count))
        for step in steps {
            writer.u64(step.header.height)
            writer.u64(step.header.time.seconds)
            writer.bytes32(step.header.voters)
            writer.bytes32(step.header.contents)
            writer.u8(step.change == nil ? 0 : 1)
            guard let change = step.change else { continue }
            Self.write(change.left, to: &writer)
            Self.write(change.joined, to: &writer)
        }
        writer.u32(UInt32(signatures.count))
        for (node, signature) in signatures {
            writer.nodeID(node)
            writer.u64(signature.height)
            writer.raw(signature.bytes)
        }
        return writer.bytes
    }

    private static func write(_ nodes: [NodeID], to writer: inout ByteWriter) {
        writer.u16(UInt16(nodes.count))
        for node in nodes { writer.nodeID(node) }
    }

    /// Reads a kept history of the network whose file has the snapshot `first`; nil if it is damaged or of another one.
    ///
    /// The history must contain that snapshot or begin after it. One that ends before it, or has another snapshot of
    /// that height, is of an older network file. It does not verify signatures, because the bytes are from this node's
    /// own disk.
    public init?(kept bytes: [UInt8], first: Snapshot, digest: Bytes32, limits: Limits = Limits()) {
        self.init(first: first, digest: digest, limits: limits)
        guard (try? read(bytes)) == true, newest.height >= first.height else { return nil }
        guard self.digest(at: first.height).map({ $0 == digest }) ?? (self.first.height > first.height) else {
            return nil
        }
    }

    private mutating func read(_ bytes: [UInt8]) throws(WireError) -> Bool {
        var reader = ByteReader(bytes.rawSpan)
        switch try reader.array(Self.magic.count) {
        case Self.magic:
            let (height, digest, hasVoters) = (try reader.u64(), try reader.bytes32(), try reader.u8() == 1)
            begin(
                at: Beginning(height: height, digest: digest, voters: try Self.nodes(&reader), hasVoters: hasVoters))
        case Self.magicBefore:
            let whole = try Snapshot.decode(from: &reader)
            begin(at: Beginning(height: whole.height, digest: whole.digest, voters: whole.voters))
        default: return false
        }
        let newest = try Snapshot.decode(from: &reader)
        let count = Int(try reader.u32())
        guard newest.network == network, reader.remaining >= count * Self.leastStep else { return false }
        var previous = first.digest
        for _ in 0..<count {
            let header = SnapshotUpdate.Header(
                height: try reader.u64(), time: UnixTime(seconds: try reader.u64()), voters: try reader.bytes32(),
                contents: try reader.bytes32())
            var change: (left: [NodeID], joined: [NodeID])?
            if try reader.u8() == 1 {
                change = (try Self.nodes(&reader), try Self.nodes(&reader))
            }
            previous = header.digest(network: network, previous: previous)
            add(header, previous, change)
        }
        guard newest.digest == previous else { return false }
        for _ in 0..<Int(try reader.u32()) {
            let node = try reader.nodeID()
            let height = try reader.u64()
            add(try reader.array(64), of: node, height: height)
        }
        try reader.end()
        // Above the limits, this also drops the oldest steps.
        if bodies.isEmpty || count > 0 { keep(newest) }
        return true
    }

    private static func nodes(_ reader: inout ByteReader) throws(WireError) -> [NodeID] {
        let count = Int(try reader.u16())
        var list: [NodeID] = []
        for _ in 0..<count { list.append(try reader.nodeID()) }
        return list
    }
}
