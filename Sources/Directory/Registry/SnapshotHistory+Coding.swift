public import Wire

/// A history as a node keeps it on its own disk.
extension SnapshotHistory {
    private static let magic: [UInt8] = Array("tunichs2".utf8)

    /// The encoding: the snapshots that are kept whole, the steps, the signatures.
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: 1 << 20)
        writer.raw(Self.magic)
        writer.raw(first.encoded())
        writer.raw(newest.encoded())
        writer.u32(UInt32(steps.count))
        for step in steps {
            writer.u64(step.header.height)
            writer.u64(step.header.time.seconds)
            writer.bytes32(step.header.voters)
            writer.bytes32(step.header.contents)
            writer.u8(step.change == nil ? 0 : 1)
            guard let change = step.change else { continue }
            for list in [change.left, change.joined] {
                writer.u16(UInt16(list.count))
                for node in list { writer.nodeID(node) }
            }
        }
        writer.u32(UInt32(signatures.count))
        for (node, signature) in signatures {
            writer.nodeID(node)
            writer.u64(signature.height)
            writer.raw(signature.bytes)
        }
        return writer.bytes
    }

    /// Reads what was kept of a history that begins at `first`; nil where that is another one, or the bytes are damaged.
    ///
    /// Signatures are not looked at: this is for one's own disk.
    public init?(kept bytes: [UInt8], first: Snapshot, digest: Bytes32) {
        self.init(first: first, digest: digest)
        guard (try? read(bytes)) == true else { return nil }
    }

    private mutating func read(_ bytes: [UInt8]) throws(WireError) -> Bool {
        var reader = ByteReader(bytes.rawSpan)
        guard try reader.array(Self.magic.count) == Self.magic, try Snapshot.decode(from: &reader) == first else {
            return false
        }
        let newest = try Snapshot.decode(from: &reader)
        let count = Int(try reader.u32())
        guard count <= Self.maximumSteps else { return false }
        var previous = firstDigest
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
        guard count == 0 ? newest == first : newest.digest == previous else { return false }
        for _ in 0..<Int(try reader.u32()) {
            let node = try reader.nodeID()
            let height = try reader.u64()
            add(try reader.array(64), of: node, height: height)
        }
        try reader.end()
        if count > 0 { keep(newest) }
        return true
    }

    private static func nodes(_ reader: inout ByteReader) throws(WireError) -> [NodeID] {
        let count = Int(try reader.u16())
        var list: [NodeID] = []
        for _ in 0..<count { list.append(try reader.nodeID()) }
        return list
    }
}
