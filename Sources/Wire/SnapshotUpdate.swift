/// The update from a reader's trusted snapshot to the newest one (protocol.md, section 10.4): the answer to
/// GET_SNAPSHOT.
///
/// This type checks the encoding only, and every length before it reserves memory; the directory verifies the
/// signatures.
public struct SnapshotUpdate: Hashable, Sendable {
    /// The version of the format.
    public static let version: UInt8 = 2
    /// The most snapshots in one update.
    public static let maximumHeaders = 16_384
    /// The most voter changes of one update.
    public static let maximumVoterChanges = 2_000

    /// The signed data of one snapshot, without the network's common data and the previous digest.
    public struct Header: Hashable, Sendable {
        /// The bytes of a header.
        public static let size = 80
        /// The height of the snapshot that the header is of.
        public let height: UInt64
        /// When it was made.
        public let time: UnixTime
        /// The digest of its staked nodes.
        public let voters: Bytes32
        /// The digest of its preface and entries.
        public let contents: Bytes32

        /// A header of these values.
        public init(height: UInt64, time: UnixTime, voters: Bytes32, contents: Bytes32) {
            self.height = height
            self.time = time
            self.voters = voters
            self.contents = contents
        }
    }

    /// The change of voters up to a snapshot in between, needed when too few earlier voters have signed later ones.
    public struct VoterChange: Hashable, Sendable {
        /// Its place among the headers.
        public let header: Int
        /// The places of the removed voters among the voters before, ascending.
        public let left: [UInt16]
        /// The new voters, ascending.
        public let joined: [NodeID]

        /// The voters at the header number `header`.
        public init(header: Int, left: [UInt16], joined: [NodeID]) {
            self.header = header
            self.left = left
            self.joined = joined
        }
    }

    /// One node's signature for one of the snapshots.
    public struct Vote: Hashable, Sendable {
        /// The signer's number: the base's voters are numbered from 0, then the joiners of each voter change, in order.
        public let number: Int
        /// The place of the signed snapshot among the headers.
        public let header: Int
        /// The signature, 64 bytes.
        public let signature: [UInt8]

        /// The signature of the node with `number` for the snapshot number `header`.
        public init(number: Int, header: Int, signature: [UInt8]) {
            precondition(signature.count == 64, "a signature is 64 bytes long")
            self.number = number
            self.header = header
            self.signature = signature
        }
    }

    /// A node with a new state or weight, and the same operator and placement.
    public struct Change: Hashable, Sendable {
        /// Its place among the reader's entries.
        public let place: UInt16
        /// Its new state.
        public let state: Snapshot.State
        /// Its new weight.
        public let weight: UInt32

        /// The entry at `place` becomes this.
        public init(place: UInt16, state: Snapshot.State, weight: UInt32) {
            self.place = place
            self.state = state
            self.weight = weight
        }
    }

    /// The newest snapshot's entries.
    public enum Entries: Hashable, Sendable {
        /// All entries, by ascending node.
        case whole([Snapshot.Entry])
        /// The difference to the reader's entries: the places of removed entries, the changed entries and the new ones,
        /// each ascending.
        case difference(removed: [UInt16], changed: [Change], added: [Snapshot.Entry])
    }

    /// The height of the reader's snapshot.
    public var base: UInt64
    /// The snapshots after the reader's, to the newest, without a gap.
    public var headers: [Header]
    /// The changes of voters in between.
    public var voterChanges: [VoterChange]
    /// The signatures, by header and then by number.
    public var votes: [Vote]
    /// What the newest snapshot has in front of its entries.
    public var preface: SnapshotPreface
    /// The newest snapshot's entries.
    public var entries: Entries

    /// An update of these parts.
    public init(
        base: UInt64, headers: [Header], voterChanges: [VoterChange], votes: [Vote], preface: SnapshotPreface,
        entries: Entries
    ) {
        self.base = base
        self.headers = headers
        self.voterChanges = voterChanges
        self.votes = votes
        self.preface = preface
        self.entries = entries
    }

    /// The encoding (protocol.md, section 10.4).
    public func encoded() -> [UInt8] {
        var writer = ByteWriter(capacity: headers.count * Header.size + votes.count * 66 + 4_096)
        writer.u8(Self.version)
        writer.u64(base)
        writer.u16(UInt16(headers.count))
        for header in headers {
            writer.u64(header.height)
            writer.u64(header.time.seconds)
            writer.bytes32(header.voters)
            writer.bytes32(header.contents)
        }
        writer.u16(UInt16(voterChanges.count))
        for change in voterChanges {
            writer.u16(UInt16(change.header))
            Self.write(change.left, to: &writer)
            writer.u16(UInt16(change.joined.count))
            for node in change.joined { writer.nodeID(node) }
        }
        writer.u32(UInt32(votes.count))
        var header = 0
        var number = 0
        for vote in votes {
            // The step to another header and the gap from the number before; both mostly take one byte.
            writer.varint(UInt64(vote.header - header))
            if vote.header != header { number = 0 }
            writer.varint(UInt64(vote.number - number))
            writer.raw(vote.signature)
            header = vote.header
            number = vote.number + 1
        }
        preface.encode(to: &writer)
        switch entries {
        case .whole(let all):
            writer.u8(0)
            writer.u16(UInt16(all.count))
            for entry in all { entry.encode(to: &writer) }
        case .difference(let removed, let changed, let added):
            writer.u8(1)
            Self.write(removed, to: &writer)
            writer.u16(UInt16(changed.count))
            for change in changed {
                writer.u16(change.place)
                writer.u8(change.state.rawValue)
                writer.u32(change.weight)
            }
            writer.u16(UInt16(added.count))
            for entry in added { entry.encode(to: &writer) }
        }
        return writer.bytes
    }

    private static func write(_ places: [UInt16], to writer: inout ByteWriter) {
        writer.u16(UInt16(places.count))
        for place in places { writer.u16(place) }
    }

    /// Reads a whole update; remaining bytes throw `trailingBytes`, values out of order or too many `outOfRange`.
    public init(decoding span: RawSpan) throws(WireError) {
        var reader = ByteReader(span)
        let version = try reader.u8()
        guard version == Self.version else { throw .unknownKind(UInt64(version)) }
        base = try reader.u64()
        headers = try Self.headers(&reader, above: base)
        voterChanges = try Self.voterChanges(&reader, headers: headers.count)
        votes = try Self.votes(&reader, headers: headers.count)
        preface = try SnapshotPreface(from: &reader)
        switch try reader.u8() {
        case 0: entries = .whole(try Snapshot.decodeEntries(from: &reader))
        case 1:
            let removed = try Self.places(&reader)
            let count = Int(try reader.u16())
            guard reader.remaining >= count * 7 else { throw .truncated }
            var changed: [Change] = []
            changed.reserveCapacity(count)
            for _ in 0..<count {
                let change = Change(
                    place: try reader.u16(), state: Snapshot.State(rawValue: try reader.u8()), weight: try reader.u32())
                if let last = changed.last, last.place >= change.place { throw .outOfRange }
                changed.append(change)
            }
            entries = .difference(
                removed: removed, changed: changed, added: try Snapshot.decodeEntries(from: &reader))
        case let kind: throw .unknownKind(UInt64(kind))
        }
        try reader.end()
    }

    private static func headers(_ reader: inout ByteReader, above base: UInt64) throws(WireError) -> [Header] {
        let count = Int(try reader.u16())
        guard 1...maximumHeaders ~= count else { throw .outOfRange }
        guard reader.remaining >= count * Header.size else { throw .truncated }
        var list: [Header] = []
        list.reserveCapacity(count)
        var height = base
        for _ in 0..<count {
            let header = Header(
                height: try reader.u64(), time: UnixTime(seconds: try reader.u64()), voters: try reader.bytes32(),
                contents: try reader.bytes32())
            guard header.height > height else { throw .outOfRange }
            height = header.height
            list.append(header)
        }
        return list
    }

    private static func voterChanges(_ reader: inout ByteReader, headers: Int) throws(WireError) -> [VoterChange] {
        let count = Int(try reader.u16())
        guard count < headers, count <= maximumVoterChanges else { throw .outOfRange }
        var list: [VoterChange] = []
        var before = -1
        for _ in 0..<count {
            let header = Int(try reader.u16())
            // The last header is the newest snapshot, whose entries give its voters.
            guard header > before, header < headers - 1 else { throw .outOfRange }
            before = header
            let left = try places(&reader)
            let joinedCount = Int(try reader.u16())
            guard joinedCount <= Snapshot.maximumNodes else { throw .outOfRange }
            guard reader.remaining >= joinedCount * 32 else { throw .truncated }
            var joined: [NodeID] = []
            joined.reserveCapacity(joinedCount)
            for _ in 0..<joinedCount {
                let node = try reader.nodeID()
                if let last = joined.last, !(last < node) { throw .outOfRange }
                joined.append(node)
            }
            list.append(VoterChange(header: header, left: left, joined: joined))
        }
        return list
    }

    private static func votes(_ reader: inout ByteReader, headers: Int) throws(WireError) -> [Vote] {
        let count = Int(try reader.u32())
        guard count <= reader.remaining / 66 else { throw .truncated }
        var list: [Vote] = []
        list.reserveCapacity(count)
        var header: UInt64 = 0
        var number: UInt64 = 0
        for _ in 0..<count {
            let step = try reader.varint()
            guard step < UInt64(headers), header + step < UInt64(headers) else { throw .outOfRange }
            if step > 0 { number = 0 }
            header += step
            let gap = try reader.varint()
            guard gap < 1 << 24, number + gap < 1 << 24 else { throw .outOfRange }
            number += gap
            list.append(Vote(number: Int(number), header: Int(header), signature: try reader.array(64)))
            number += 1
        }
        return list
    }

    private static func places(_ reader: inout ByteReader) throws(WireError) -> [UInt16] {
        let count = Int(try reader.u16())
        guard count <= Snapshot.maximumNodes else { throw .outOfRange }
        guard reader.remaining >= count * 2 else { throw .truncated }
        var list: [UInt16] = []
        list.reserveCapacity(count)
        for _ in 0..<count {
            let place = try reader.u16()
            if let last = list.last, last >= place { throw .outOfRange }
            list.append(place)
        }
        return list
    }
}
