public import Wire

/// The keys that may write messages into a box: the version of the name `grant` of kind 3.
public struct Grant: Hashable, Sendable {
    /// A key that may write.
    public struct Writer: Hashable, Sendable {
        /// An Ed25519 key.
        public let key: Bytes32
        /// The last `created`, in minutes, of messages that it may write; 0: no end.
        public let until: UInt32

        /// The key and the end of its right.
        public init(key: Bytes32, until: UInt32 = 0) {
            self.key = key
            self.until = until
        }
    }

    /// The writers by ascending key; no two keys begin with the same eight bytes.
    public let writers: [Writer]

    /// A grant for `writers`, which are sorted; nil if there are none or too many, or two begin with the same eight
    /// bytes.
    public init?(_ writers: [Writer]) {
        let sorted = writers.sorted { $0.key < $1.key }
        guard Self.isValid(sorted) else { return nil }
        self.writers = sorted
    }

    private static func isValid(_ writers: [Writer]) -> Bool {
        let hints = writers.map { UInt64(leading: $0.key) }
        return 1...SwarmLimits.grantKeys ~= writers.count && zip(hints, hints.dropFirst()).allSatisfy { $0 < $1 }
    }

    /// The body after the flag.
    public var content: [UInt8] {
        var writer = ByteWriter(capacity: 1 + writers.count * 36)
        writer.u8(UInt8(writers.count))
        for entry in writers {
            writer.bytes32(entry.key)
            writer.u32(entry.until)
        }
        return writer.bytes
    }

    /// Reads the rest of a body; the item must have the smallest size.
    init(rest reader: inout ByteReader) throws(WireError) {
        let count = try reader.u8()
        guard 1...SwarmLimits.grantKeys ~= Int(count) else { throw .outOfRange }
        var writers: [Writer] = []
        for _ in 0..<count { writers.append(Writer(key: try reader.bytes32(), until: try reader.u32())) }
        try reader.restOfShortest()
        guard Self.isValid(writers) else { throw .outOfRange }
        self.writers = writers
    }
}

/// The keys whose messages a box accepts.
public struct WriteKeys: Hashable, Sendable {
    /// The writers of the newest grant, or the box key.
    let writers: [Grant.Writer]

    /// The keys of `grant`; without a grant the box key.
    public init(box: Bytes32, grant: Grant?) { writers = grant?.writers ?? [Grant.Writer(key: box)] }

    /// Whether a key of `other` begins with the same eight bytes as one of these and is another key.
    func sharesHint(with other: WriteKeys) -> Bool {
        writers.contains { writer in
            other.writers.contains { $0.key != writer.key && UInt64(leading: $0.key) == UInt64(leading: writer.key) }
        }
    }

    /// The key that must have signed a message; nil if no writer may have made it.
    func author(of header: ItemHeader) -> Bytes32? {
        writers.first { writer in
            UInt64(leading: writer.key) == header.hint && (writer.until == 0 || header.created <= writer.until)
        }?.key
    }
}

/// Drops all messages of a box from before a time: the version of the name `purge` of kind 3.
public struct Purge: Hashable, Sendable {
    /// Messages with a lower `created` are dropped and refused.
    public let before: UInt32

    /// A purge of messages older than the minute `before`, which is rounded down to a multiple of 10.
    public init(before: UInt32) { self.before = before - before % SwarmLimits.rangeMinutes }

    /// The body after the flag.
    public var content: [UInt8] {
        var writer = ByteWriter(capacity: 4)
        writer.u32(before)
        return writer.bytes
    }

    /// Reads the rest of the body of an item that was made at `created`.
    init(rest reader: inout ByteReader, created: UInt32) throws(WireError) {
        before = try reader.u32()
        try reader.restOfShortest()
        guard before % SwarmLimits.rangeMinutes == 0, before <= created,
            created - before >= SwarmLimits.purgeDistance
        else { throw .outOfRange }
    }
}

extension ByteReader {
    /// Throws unless the rest of an item's body is zeros and the item has the smallest size.
    fileprivate mutating func restOfShortest() throws(WireError) {
        guard offset + remaining == SwarmLimits.itemSizes[0] - StoredItem.overhead else { throw .outOfRange }
        try zeros(remaining)
    }
}
