/// Sizes and offsets of the messages that build a path (protocol.md, section 6).
///
///     BUILD  = path id 8 ‖ 4 records        record = key id 8 │ ciphertext 1,120 │ client ephemeral 32 │ sealed body 80
///     BUILT  = path id 8 ‖ 4 reply records  reply record = hop's ephemeral 32 │ sealed status 80
public enum BuildMessage {
    /// How many records a build and a reply have, whatever the length of the path.
    public static let recordCount = 4
    /// The length of a record.
    public static let recordSize = 1_240
    /// Where a record's X-Wing ciphertext begins.
    public static let ciphertextOffset = 8
    /// Where a record's client ephemeral begins.
    public static let ephemeralOffset = 1_128
    /// Where a record's sealed body begins; the bytes before it are the record's opening.
    public static let sealedOffset = 1_160
    /// The length of a record's decrypted body.
    public static let bodySize = 64
    /// The length of the four records.
    public static let recordsSize = recordCount * recordSize
    /// The length of a BUILD message's body.
    public static let size = 8 + recordsSize

    /// The length of a reply record.
    public static let replyRecordSize = 112
    /// Where a reply record's sealed status begins; the hop's ephemeral is before it.
    public static let replySealedOffset = 32
    /// The length of a reply record's decrypted body.
    public static let replyBodySize = 64
    /// The length of the four reply records.
    public static let replyRecordsSize = recordCount * replyRecordSize
    /// The length of a BUILT message's body.
    public static let builtSize = 8 + replyRecordsSize

    /// How long a path lives, in seconds; a fixed field of every record.
    public static let lifetime: UInt16 = 1_200
    /// The length of a unit of a record's time, in seconds.
    public static let timeUnit: UInt64 = 600
    /// By how many units a record's time may differ from the hop's.
    public static let timeTolerance: UInt64 = 2

    /// The time in the units of a record.
    public static func timeUnits(_ time: UnixTime) -> UInt32 { UInt32(truncatingIfNeeded: time.seconds / timeUnit) }

    /// Whether a record's time is valid at `now`.
    public static func isValid(units: UInt32, at now: UnixTime) -> Bool {
        let here = now.seconds / timeUnit
        let there = UInt64(units)
        return (here > there ? here - there : there - here) <= timeTolerance
    }
}

/// A hop's answer to a build, in its own reply record (protocol.md, section 6.5).
public enum BuildStatus: UInt8, Sendable, CaseIterable, Error {
    /// The path is built up to this hop.
    case ready = 0
    /// The hop has its limit of paths, of builds a second, or of handshakes.
    case overloaded = 1
    /// The hop does not know the next node of the record.
    case unknownNextHop = 2
    /// The hop has no link to the next node and could not make one.
    case nextHopUnreachable = 3
    /// The hop is about to stop and accepts no new paths.
    case draining = 4
    /// The hop cannot run the suite of the record.
    case suiteUnavailable = 5
    /// The next node could not open its record, or closed the path before it answered.
    case nextHopFailed = 6
    /// The record's time is too far from the hop's.
    case timeInvalid = 7

    /// The name in status and metrics.
    public var name: String {
        switch self {
        case .ready: "ready"
        case .overloaded: "overloaded"
        case .unknownNextHop: "unknownNextHop"
        case .nextHopUnreachable: "nextHopUnreachable"
        case .draining: "draining"
        case .suiteUnavailable: "suiteUnavailable"
        case .nextHopFailed: "nextHopFailed"
        case .timeInvalid: "timeInvalid"
        }
    }
}

/// The body of a record: the client's request to one hop (protocol.md, section 6.2).
///
/// Everything else in the body is fixed, so that records of different clients differ in nothing else.
public struct BuildBody: Equatable, Sendable {
    /// The version in records.
    public static let version: UInt8 = 1

    /// The hop's slot, 1 to 4; the terminal's is 4.
    public var slot: UInt8
    /// The next hop's slot; 0 at the terminal.
    public var nextSlot: UInt8
    /// The raw value of the suite of this hop's layer.
    public var suite: UInt8
    /// Seconds since 1970 divided by 600.
    public var timeUnits: UInt32
    /// The next hop; zero at the terminal.
    public var nextNode: Bytes32

    /// A body of these fields.
    public init(slot: UInt8, nextSlot: UInt8, suite: UInt8, timeUnits: UInt32, nextNode: Bytes32) {
        self.slot = slot
        self.nextSlot = nextSlot
        self.suite = suite
        self.timeUnits = timeUnits
        self.nextNode = nextNode
    }

    /// Whether the hop is the last one.
    public var isTerminal: Bool { slot == UInt8(Packet.slotCount) }

    /// The 64 bytes of the body.
    public var encoded: [UInt8] {
        var writer = ByteWriter(capacity: BuildMessage.bodySize)
        writer.u8(Self.version)
        writer.u8(slot)
        writer.u8(nextSlot)
        writer.u8(suite)
        writer.u32(timeUnits)
        writer.u16(BuildMessage.lifetime)
        writer.zeros(22)
        writer.bytes32(nextNode)
        return writer.bytes
    }

    /// Reads a body.
    ///
    /// Throws for any other value of a fixed or reserved field, and for an order of slots that section 5 does not
    /// allow.
    public init(decoding bytes: RawSpan) throws(WireError) {
        var reader = ByteReader(bytes)
        let version = try reader.u8()
        guard version == Self.version else { throw .unknownKind(UInt64(version)) }
        slot = try reader.u8()
        nextSlot = try reader.u8()
        suite = try reader.u8()
        timeUnits = try reader.u32()
        guard try reader.u16() == BuildMessage.lifetime else { throw .outOfRange }
        var index = 0
        while index < 22 {
            guard try reader.u8() == 0 else { throw .outOfRange }
            index += 1
        }
        nextNode = try reader.bytes32()
        try reader.end()
        switch slot {
        case 4: guard nextSlot == 0, nextNode.isZero else { throw .outOfRange }
        case 1, 2, 3: guard nextSlot == slot + 1 || nextSlot == 4, !nextNode.isZero else { throw .outOfRange }
        default: throw .outOfRange
        }
    }
}
