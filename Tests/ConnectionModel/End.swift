import Transport
import Wire

/// One end of the model: a connection, and the streams that its application has written and read.
final class End {
    /// The sending half of a stream.
    struct Sent {
        var written: UInt64 = 0
        var isFinished = false
        /// Whether it was reset here, or because the peer stopped it.
        var isReset = false
    }

    /// The receiving half of a stream.
    struct Taken {
        var count: UInt64 = 0
        var hasEnded = false
        /// Whether the reader did not want the rest, or the writer gave up.
        var isCut = false
    }

    let role: ConnectionRole
    var connection: Connection
    /// The next packet number of each leg.
    var numbers: [UInt8: UInt64] = [:]
    /// The streams that are open here, in the order of opening.
    var open: [UInt64] = []
    var sent: [UInt64: Sent] = [:]
    var taken: [UInt64: Taken] = [:]
    /// The stream written last.
    var lastWritten: UInt64 = 0
    var datagrams = 0

    init(_ role: ConnectionRole, _ configuration: ConnectionConfiguration, seed: UInt64) {
        self.role = role
        connection = Connection(role: role, configuration: configuration, seed: seed)
    }
}

/// The bytes that the ends exchange; stream, writer and offset determine each byte.
enum Content {
    /// The bytes repeat after this prime number.
    private static let period = 131_101
    /// Two periods, so that any run of at most one period is contiguous.
    private static let table: [UInt8] = {
        var state: UInt64 = 1
        let once = (0..<period).map { _ in
            state = state &* 0x5851_f42d_4c95_7f2d &+ 1
            return UInt8(truncatingIfNeeded: state >> 40)
        }
        return once + once
    }()

    /// The index in the table of the byte at `offset` of one half of stream `id`.
    private static func place(_ id: UInt64, byInitiator: Bool, at offset: UInt64) -> Int {
        let start = (id &* 0x9e37_79b9_7f4a_7c15) >> 40 &+ (byInitiator ? 77_777 : 0)
        return Int((start &+ offset % UInt64(period)) % UInt64(period))
    }

    /// At most one period of the half's bytes, from `offset` on.
    static func bytes(_ id: UInt64, byInitiator: Bool, at offset: UInt64, count: Int) -> [UInt8] {
        let start = place(id, byInitiator: byInitiator, at: offset)
        return Array(table[start..<start + count])
    }

    /// Whether `bytes` are the half's bytes from `offset` on.
    static func isRight(_ bytes: RawSpan, _ id: UInt64, byInitiator: Bool, at offset: UInt64) -> Bool {
        let table = table.rawSpan
        var index = 0
        while index < bytes.byteCount {
            let start = place(id, byInitiator: byInitiator, at: offset &+ UInt64(index))
            let count = min(bytes.byteCount - index, period)
            guard isSame(bytes.extracting(index..<index + count), table.extracting(start..<start + count)) else {
                return false
            }
            index += count
        }
        return true
    }

    private static func isSame(_ a: RawSpan, _ b: RawSpan) -> Bool {
        var index = 0
        while index + 8 <= a.byteCount {
            let left = unsafe a.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self)
            let right = unsafe b.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self)
            if left != right { return false }
            index += 8
        }
        while index < a.byteCount {
            let left = unsafe a.unsafeLoad(fromByteOffset: index, as: UInt8.self)
            let right = unsafe b.unsafeLoad(fromByteOffset: index, as: UInt8.self)
            if left != right { return false }
            index += 1
        }
        return true
    }

    /// Bytes of a datagram of `total` bytes, taken from a stream that nobody opens.
    static func datagram(flow: UInt64, total: Int, from offset: Int = 0, count: Int) -> [UInt8] {
        bytes(flow ^ UInt64(total) << 32, byInitiator: false, at: UInt64(offset), count: count)
    }
}
