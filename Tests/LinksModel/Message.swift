internal import EventLoop
internal import OnionCrypto
internal import Wire

/// Control messages with different limits.
enum Message: UInt8, CaseIterable, MessageFamily {
    case short = 40, bringing, asking, large

    var longestBody: Int { self == .bringing ? 20_000 : 64 }

    var longestAnswer: Int {
        switch self {
        case .short: 100
        case .bringing: 0
        case .asking: 90_000
        case .large: 1 << 20
        }
    }

    /// The answer of honest end `number`; the asker computes it too.
    func reply(to body: [UInt8], of number: Int) -> [UInt8] {
        let first = Int(body.last ?? 0) + 7 * number
        let wanted = self == .asking && first % 16 == 0 ? 80_000 : body.count + first % 64
        let length = min(longestAnswer, wanted)
        let head = [UInt8]((0..<min(length, 200)).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ first) })
        return head + [UInt8](repeating: UInt8(truncatingIfNeeded: first), count: length - head.count)
    }
}

/// The messages and packets that honest ends have sent to each other; what an honest end receives is compared with it.
struct Ledger {
    struct Sent {
        let from: Int
        let to: Int
        let kind: UInt8
        let body: [UInt8]
        var isDelivered = false
    }

    /// A data packet; each hop passes it on to the next one.
    struct Packet {
        let route: [Int]
        let pathID: UInt64
        var arrivals: Set<Int> = []
    }

    /// The first byte of an honest message or packet, and of a hostile one.
    static let honest: UInt8 = 1, hostile: UInt8 = 0xff
    /// The bytes in front of an honest message's filling: the mark, and its number.
    static let head = 9

    private(set) var messages: [UInt64: Sent] = [:]
    private(set) var packets: [UInt64: Packet] = [:]
    private var paths: [UInt64: (from: Int, to: Int)] = [:]
    private var last: UInt64 = 0

    private static func mark(_ number: UInt64) -> [UInt8] {
        var writer = ByteWriter()
        writer.u8(honest)
        writer.u64(number)
        return writer.bytes
    }

    static func number(of bytes: [UInt8]) -> UInt64? {
        var reader = ByteReader(bytes.rawSpan)
        guard let mark = try? reader.u8(), mark == honest else { return nil }
        return try? reader.u64()
    }

    mutating func message(_ kind: Message, from: Int, to: Int, filling: [UInt8]) -> (number: UInt64, body: [UInt8]) {
        last += 1
        let body = Self.mark(last) + filling
        messages[last] = Sent(from: from, to: to, kind: kind.rawValue, body: body)
        return (last, body)
    }

    /// Checks that this message was sent by `from` to `to`, and has not been received yet.
    mutating func received(_ kind: UInt8, _ body: [UInt8], from: Int, at to: Int) {
        guard let number = Self.number(of: body), let sent = messages[number] else {
            preconditionFailure("a message that nobody sent")
        }
        precondition(sent.from == from && sent.to == to, "a message from another end, or for another one")
        precondition(sent.kind == kind && sent.body == body, "a message changed on its way")
        precondition(!sent.isDelivered, "a message came twice")
        messages[number]?.isDelivered = true
    }

    /// The end of a path of `to`, by a number that is never used again.
    mutating func path(from: Int, to: Int) -> UInt64 {
        last += 1
        let id = last << 8 | 0xa5
        paths[id] = (from, to)
        return id
    }

    /// Checks that `from` ended this path of `to`, and has not said so before on a link that stood.
    func destroyed(_ id: UInt64, from: Int, at to: Int) {
        guard let path = paths[id] else { preconditionFailure("the end of a path that nobody ended") }
        precondition(path == (from, to), "the end of another end's path")
    }

    /// A packet for `route`, and the bytes of its payload.
    mutating func packet(_ route: [Int], isClients: Bool) -> (pathID: UInt64, payload: [UInt8]) {
        last += 1
        let pathID = last << 8 | 1 | (isClients ? 1 << 55 : 0)
        packets[last] = Packet(route: route, pathID: pathID)
        let mark = Self.mark(last)
        return (pathID, mark + Blake2b.digest(mark.rawSpan).array)
    }

    /// The packet with this payload, if it is as it was sent; its payload is not the link's to protect.
    func packet(of payload: [UInt8]) -> UInt64? {
        guard let number = Self.number(of: payload),
            Blake2b.digest(Self.mark(number).rawSpan).array == Array(payload[Self.head..<Self.head + 32])
        else { return nil }
        precondition(packets[number] != nil, "a packet that nobody sent")
        return number
    }

    /// Checks that packet `number` came on its route and for the first time; returns where it goes next.
    mutating func committed(_ number: UInt64, pathID: UInt64, from: Int?, at end: Int) -> Int? {
        guard let packet = packets[number], let place = packet.route.firstIndex(of: end), place > 0 else {
            preconditionFailure("a packet came to an end that is not on its route")
        }
        precondition(packet.pathID == pathID, "a path id changed on its way")
        precondition(from == nil || packet.route[place - 1] == from, "a packet came from another end")
        precondition(packet.arrivals.contains(end) == false, "a packet came twice")
        packets[number]?.arrivals.insert(end)
        return place + 1 < packet.route.count ? packet.route[place + 1] : nil
    }
}
