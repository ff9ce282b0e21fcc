/// LEG_HELLO: the frame in a leg's first packets that names the leg's session.
///
///     0x20 │ kind 1 │ leg 1                                        kind 0: this leg begins a new session
///     0x20 │ kind 1 │ leg 1 │ session id 16 │ MAC 16               kind 1: this leg joins a session
public struct LegHello: Equatable, Sendable {
    /// The session of the leg.
    public enum Kind: Equatable, Sendable {
        /// A new session, which begins with this leg.
        case newSession
        /// The session with this id; the MAC, under the session's secret, proves the right to join.
        case join(session: [UInt8], mac: [UInt8])
    }

    /// The size of a session id and of the MAC.
    public static let fieldSize = 16

    /// The number of the leg that begins, chosen by its sender.
    public var leg: UInt8
    /// The session of the leg.
    public var kind: Kind

    /// A hello of `leg`; for a join both fields must have `fieldSize` bytes, else this traps.
    public init(leg: UInt8, kind: Kind) {
        if case .join(let session, let mac) = kind {
            precondition(session.count == Self.fieldSize && mac.count == Self.fieldSize, "they have 16 bytes")
        }
        self.leg = leg
        self.kind = kind
    }

    /// The whole frame, to pass to `Connection.addLeg` as preamble.
    public var encoded: [UInt8] {
        switch kind {
        case .newSession: [FrameType.legHello, 0, leg]
        case .join(let session, let mac): [FrameType.legHello, 1, leg] + session + mac
        }
    }

    /// The hello at the start of a payload; nil if the payload begins with something else.
    public static func first(of payload: RawSpan) throws(WireError) -> LegHello? {
        var reader = ByteReader(payload)
        guard reader.remaining > 0, try reader.u8() == FrameType.legHello else { return nil }
        return try LegHello(reading: &reader)
    }

    /// Reads the fields after the type.
    init(reading reader: inout ByteReader) throws(WireError) {
        let kind = try reader.u8()
        leg = try reader.u8()
        switch kind {
        case 0: self.kind = .newSession
        case 1: self.kind = .join(session: try reader.array(Self.fieldSize), mac: try reader.array(Self.fieldSize))
        default: throw .unknownKind(UInt64(kind))
        }
    }
}
