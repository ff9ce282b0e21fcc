/// The credit of both ends of a connection before any grant; no handshake announces it.
public enum InitialLimits {
    /// Bytes of each stream, in each direction.
    public static let streamData = 256 << 10
    /// Bytes of all streams together, in each direction.
    public static let data = 1 << 20
    /// Streams that each end may open.
    public static let streams = 128
}

/// The first byte of a frame.
///
/// STREAM has eight values: `stream` plus the bits of `StreamFlags`.
public enum FrameType {
    /// The rest of the payload is padding and is not read.
    public static let padding: UInt8 = 0x00
    /// Asks for an acknowledgement at once.
    public static let ping: UInt8 = 0x01
    /// leg u8, largest, delay (us), further ranges (at most 31), first range, then gap and length for each further
    /// range.
    public static let ack: UInt8 = 0x02
    /// stream, code, final size.
    public static let resetStream: UInt8 = 0x04
    /// stream, code.
    public static let stopSending: UInt8 = 0x05
    /// stream, [offset], [length], data.
    public static let stream: UInt8 = 0x08
    /// limit in bytes.
    public static let maxData: UInt8 = 0x10
    /// stream, limit in bytes.
    public static let maxStreamData: UInt8 = 0x11
    /// how many streams the receiver of this frame may open in all.
    public static let maxStreams: UInt8 = 0x12
    /// eight bytes.
    public static let pathChallenge: UInt8 = 0x1a
    /// the eight bytes of a PATH_CHALLENGE.
    public static let pathResponse: UInt8 = 0x1b
    /// code.
    public static let connectionClose: UInt8 = 0x1c
    /// kind u8, leg u8, and for a join: session id 16, MAC 16.
    public static let legHello: UInt8 = 0x20
    /// leg u8, sequence.
    public static let legActive: UInt8 = 0x21
    /// leg u8.
    public static let legClose: UInt8 = 0x22
    /// flow, length, data.
    public static let datagram: UInt8 = 0x30
    /// flow, message number, total length, offset, length, data.
    public static let datagramFragment: UInt8 = 0x31
}

/// The low bits of a STREAM frame's type (RFC 9000, section 19.8).
public enum StreamFlags {
    /// The data ends the stream.
    public static let fin: UInt8 = 0x01
    /// A length follows; without it the data reaches to the end of the payload.
    public static let length: UInt8 = 0x02
    /// An offset follows; without it the offset is 0.
    public static let offset: UInt8 = 0x04
}

/// One frame of a packet's payload, its bytes in place.
///
/// Integers are varints (RFC 9000, section 16) unless a size is named; see `FrameType` for the fields in their order.
public enum Frame: ~Escapable {
    /// PING.
    case ping
    /// ACK.
    case ack(AckFrame)
    /// RESET_STREAM.
    case resetStream(stream: UInt64, code: UInt64, finalSize: UInt64)
    /// STOP_SENDING.
    case stopSending(stream: UInt64, code: UInt64)
    /// STREAM.
    case stream(StreamFrame)
    /// MAX_DATA.
    case maxData(UInt64)
    /// MAX_STREAM_DATA.
    case maxStreamData(stream: UInt64, limit: UInt64)
    /// MAX_STREAMS.
    case maxStreams(UInt64)
    /// PATH_CHALLENGE; the eight bytes as a little-endian number.
    case pathChallenge(UInt64)
    /// PATH_RESPONSE; the eight bytes as a little-endian number.
    case pathResponse(UInt64)
    /// CONNECTION_CLOSE.
    case connectionClose(code: UInt64)
    /// LEG_HELLO.
    case legHello(LegHello)
    /// LEG_ACTIVE.
    case legActive(leg: UInt8, sequence: UInt64)
    /// LEG_CLOSE.
    case legClose(leg: UInt8)
    /// DATAGRAM, whole or a fragment.
    case datagram(DatagramFrame)
}

/// A STREAM frame.
public struct StreamFrame: ~Escapable {
    /// The stream's number.
    public let stream: UInt64
    /// The offset of the data in the stream; `offset + data.byteCount` is below 2^62.
    public let offset: UInt64
    /// Whether the stream ends with the data.
    public let fin: Bool
    /// The data, in the packet.
    public let data: RawSpan

    @_lifetime(copy data)
    init(stream: UInt64, offset: UInt64, fin: Bool, data: RawSpan) {
        self.stream = stream
        self.offset = offset
        self.fin = fin
        self.data = data
    }
}

/// A DATAGRAM frame, or a fragment of one.
public struct DatagramFrame: ~Escapable {
    /// The largest reassembled datagram: the largest of UDP over IPv4.
    public static let maxTotal = 65_507

    /// The flow it belongs to.
    public let flow: UInt64
    /// The message's number; nil for a whole datagram.
    public let message: UInt64?
    /// The length of the whole datagram.
    public let total: Int
    /// The offset of the data in the datagram; `offset + data.byteCount` is at most `total`.
    public let offset: Int
    /// The data, in the packet.
    public let data: RawSpan

    @_lifetime(copy data)
    init(flow: UInt64, message: UInt64?, total: Int, offset: Int, data: RawSpan) {
        self.flow = flow
        self.message = message
        self.total = total
        self.offset = offset
        self.data = data
    }
}

/// An ACK frame whose ranges have been checked: none goes below 0.
public struct AckFrame: ~Escapable {
    /// The most ranges an ACK may have.
    public static let maxRanges = 32

    /// The leg whose packets it acknowledges.
    public let leg: UInt8
    /// The largest packet number acknowledged.
    public let largest: UInt64
    /// How long the largest one waited for this acknowledgement, in microseconds.
    public let delay: UInt64
    /// How many ranges there are: 1 to 32.
    public let rangeCount: Int
    private let first: UInt64
    private let rest: RawSpan

    @_lifetime(copy rest)
    init(leg: UInt8, largest: UInt64, delay: UInt64, rangeCount: Int, first: UInt64, rest: RawSpan) {
        self.leg = leg
        self.largest = largest
        self.delay = delay
        self.rangeCount = rangeCount
        self.first = first
        self.rest = rest
    }

    /// The ranges, from the largest numbers down.
    public var ranges: Ranges {
        @_lifetime(copy self)
        get { Ranges(largest: largest, first: first, count: rangeCount, rest: rest) }
    }

    /// Iterates over the ranges of an ACK.
    public struct Ranges: ~Escapable {
        private var high: UInt64
        private var length: UInt64
        private var left: Int
        private var reader: ByteReader

        @_lifetime(copy rest)
        fileprivate init(largest: UInt64, first: UInt64, count: Int, rest: RawSpan) {
            high = largest
            length = first
            left = count
            reader = ByteReader(rest)
        }

        /// The next range, lower than the one before; nil at the end.
        public mutating func next() -> (low: UInt64, high: UInt64)? {
            guard left > 0 else { return nil }
            let range = (low: high - length, high: high)
            left -= 1
            if left > 0 {
                // `FrameReader` has read these bytes before and checked them.
                guard let gap = try? reader.varint(), let next = try? reader.varint() else { return range }
                high = range.low - gap - 2
                length = next
            }
            return range
        }
    }
}
