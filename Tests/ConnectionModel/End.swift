import Transport
import Wire

/// One end of the model: a connection, and what its application has written and read.
final class End {
    /// What was written to a stream.
    struct Sent {
        var written: UInt64 = 0
        var isFinished = false
        /// It was reset here, or because the peer stopped it.
        var isReset = false
    }

    /// What was read of a stream.
    struct Taken {
        var count: UInt64 = 0
        var hasEnded = false
        /// The reader did not want the rest, or the writer gave up.
        var isCut = false
    }

    let role: Role
    var connection: Connection
    /// The next packet number of each leg.
    var numbers: [UInt8: UInt64] = [:]
    /// Streams that are open here, in the order in which they were.
    var open: [UInt64] = []
    var sent: [UInt64: Sent] = [:]
    var taken: [UInt64: Taken] = [:]
    var datagrams = 0

    init(_ role: Role, _ configuration: Configuration, seed: UInt64) {
        self.role = role
        connection = Connection(role: role, configuration: configuration, seed: seed)
    }
}

/// The bytes that ends exchange: each follows from where it stands.
enum Content {
    /// The byte at `offset` of the half of stream `id` that the initiator (or else the responder) writes.
    static func byte(_ id: UInt64, byInitiator: Bool, at offset: UInt64) -> UInt8 {
        var x = offset &* 0x9e37_79b9_7f4a_7c15 ^ id &* 0xd6e8_feb8_6659_fd93 ^ (byInitiator ? 0x55 : 0)
        x ^= x >> 29
        return UInt8(truncatingIfNeeded: x ^ x >> 37)
    }

    static func bytes(_ id: UInt64, byInitiator: Bool, at offset: UInt64, count: Int) -> [UInt8] {
        (0..<UInt64(count)).map { byte(id, byInitiator: byInitiator, at: offset &+ $0) }
    }

    /// Whether `bytes` are those of the stream at `offset`.
    static func isRight(_ bytes: RawSpan, _ id: UInt64, byInitiator: Bool, at offset: UInt64) -> Bool {
        for index in 0..<bytes.byteCount {
            let found = unsafe bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)
            guard found == byte(id, byInitiator: byInitiator, at: offset &+ UInt64(index)) else { return false }
        }
        return true
    }

    /// A datagram of `total` bytes of a flow; its bytes are those of a stream that nobody opens.
    static func datagram(flow: UInt64, total: Int, from offset: Int = 0, count: Int) -> [UInt8] {
        bytes(flow ^ UInt64(total) << 32, byInitiator: false, at: UInt64(offset), count: count)
    }
}
