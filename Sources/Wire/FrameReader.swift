/// Reads the frames of a packet's payload in place, one after the other.
///
/// Any bytes give frames, the end or a `WireError`; nothing is allocated. After an error the reader must not be used.
public struct FrameReader: ~Escapable {
    private var reader: ByteReader

    /// Reads from the start of `payload`.
    @_lifetime(copy payload)
    public init(_ payload: RawSpan) { reader = ByteReader(payload) }

    /// How many bytes have been read.
    public var offset: Int { reader.offset }

    /// The next frame; nil at the end of the payload or at padding.
    @_lifetime(copy self)
    public mutating func next() throws(WireError) -> Frame? {
        guard reader.remaining > 0 else { return nil }
        let type = try reader.u8()
        switch type {
        case FrameType.padding: return nil
        case FrameType.stream...FrameType.stream + 7: return .stream(try stream(flags: type))
        case FrameType.ack: return .ack(try ack())
        case FrameType.ping: return .ping
        case FrameType.maxData: return .maxData(try reader.varint())
        case FrameType.maxStreamData:
            return .maxStreamData(stream: try reader.varint(), limit: try reader.varint())
        case FrameType.maxStreams: return .maxStreams(try reader.varint())
        case FrameType.resetStream:
            return .resetStream(stream: try reader.varint(), code: try reader.varint(), finalSize: try reader.varint())
        case FrameType.stopSending: return .stopSending(stream: try reader.varint(), code: try reader.varint())
        case FrameType.pathChallenge: return .pathChallenge(try reader.u64())
        case FrameType.pathResponse: return .pathResponse(try reader.u64())
        case FrameType.connectionClose: return .connectionClose(code: try reader.varint())
        case FrameType.legHello: return .legHello(try LegHello(reading: &reader))
        case FrameType.legActive: return .legActive(leg: try reader.u8(), sequence: try reader.varint())
        case FrameType.legClose: return .legClose(leg: try reader.u8())
        case FrameType.datagram, FrameType.datagramFragment:
            return .datagram(try datagram(isFragment: type == FrameType.datagramFragment))
        default: throw .unknownKind(UInt64(type))
        }
    }

    @_lifetime(copy self)
    private mutating func stream(flags: UInt8) throws(WireError) -> StreamFrame {
        let stream = try reader.varint()
        let offset = flags & StreamFlags.offset != 0 ? try reader.varint() : 0
        let length = flags & StreamFlags.length != 0 ? try reader.varint() : UInt64(reader.remaining)
        guard length <= UInt64(reader.remaining) else { throw .truncated }
        guard offset + length < 1 << 62 else { throw .outOfRange }
        let data = try reader.bytes(Int(length))
        return StreamFrame(stream: stream, offset: offset, fin: flags & StreamFlags.fin != 0, data: data)
    }

    @_lifetime(copy self)
    private mutating func ack() throws(WireError) -> AckFrame {
        let leg = try reader.u8()
        let largest = try reader.varint()
        let delay = try reader.varint()
        let further = try reader.varint()
        let first = try reader.varint()
        guard further < UInt64(AckFrame.maxRanges), first <= largest else { throw .outOfRange }
        var ahead = reader
        var low = largest - first
        for _ in 0..<further {
            let gap = try ahead.varint()
            let length = try ahead.varint()
            guard gap + 2 <= low, length <= low - gap - 2 else { throw .outOfRange }
            low -= gap + 2 + length
        }
        let rest = try reader.bytes(ahead.offset - reader.offset)
        return AckFrame(
            leg: leg, largest: largest, delay: delay, rangeCount: Int(further) + 1, first: first, rest: rest)
    }

    @_lifetime(copy self)
    private mutating func datagram(isFragment: Bool) throws(WireError) -> DatagramFrame {
        let flow = try reader.varint()
        guard isFragment else {
            let length = try reader.varint()
            guard length <= UInt64(reader.remaining), length <= DatagramFrame.maxTotal else { throw .truncated }
            let data = try reader.bytes(Int(length))
            return DatagramFrame(flow: flow, message: nil, total: Int(length), offset: 0, data: data)
        }
        let message = try reader.varint()
        let total = try reader.varint()
        let offset = try reader.varint()
        let length = try reader.varint()
        guard length <= UInt64(reader.remaining) else { throw .truncated }
        guard total <= DatagramFrame.maxTotal, length > 0, offset + length <= total else { throw .outOfRange }
        let data = try reader.bytes(Int(length))
        return DatagramFrame(flow: flow, message: message, total: Int(total), offset: Int(offset), data: data)
    }
}
