internal import OnionCrypto
internal import Transport
internal import Wire

/// One stream from an initiator that always has something to write to a responder that reads at once.
///
/// Packets arrive in trains of up to 32, so the round trip is two trains; acknowledgements are shared by the packets that they
/// are for. An operation is one packet with stream data: written by the application, sent, received, read, acknowledged.
func transport(_ meter: inout Meter, _ suite: Suite) {
    var link = DirectLink()
    while meter.wantsMore {
        meter.measure {
            var packets = 0
            while packets < PacketArea.count { packets += link.turn() }
            return packets
        }
    }
}

/// Two connections and what is on its way between them.
private struct DirectLink: ~Copyable {
    private static let train = 32
    private static let size = Packet.defaultSize - Packet.payloadOffset
    private static let leg = LegID(0)

    private var near = Connection(role: .initiator, seed: 1)
    private var far = Connection(role: .responder, seed: 2)
    private let stream: StreamID
    private var now = start
    private var area = [UInt8](repeating: 0, count: DirectLink.train * DirectLink.size)
    private var numbers = [UInt64](repeating: 0, count: DirectLink.train)
    private let chunk = [UInt8](repeating: 0x5a, count: 64 << 10)
    private var nextNear: UInt64 = 0
    private var nextFar: UInt64 = 0

    init() {
        near.addLeg(Self.leg, payloadSize: Self.size, now: now)
        far.addLeg(Self.leg, payloadSize: Self.size, now: now)
        guard let stream = try? near.openStream() else { fail("no stream") }
        self.stream = stream
    }

    /// A train there and what answers it; returns how many packets went there.
    mutating func turn() -> Int {
        while Self.write(&near, stream, chunk) {}
        now = now + .microseconds(100)
        if let deadline = near.nextDeadline, deadline <= now { near.deadlineReached(now: now) }
        let sent = Self.send(&near, &area, &numbers, &nextNear, now)
        Self.receive(&far, area, numbers, sent, now)
        while let event = far.nextEvent() {
            guard case .readable(let id) = event else { continue }
            while far.withReadable(id, { $0.byteCount }) > 0 {}
        }
        now = now + .microseconds(100)
        if let deadline = far.nextDeadline, deadline <= now { far.deadlineReached(now: now) }
        let answered = Self.send(&far, &area, &numbers, &nextFar, now)
        Self.receive(&near, area, numbers, answered, now)
        while near.nextEvent() != nil {}
        return sent
    }

    private static func write(_ connection: inout Connection, _ stream: StreamID, _ bytes: [UInt8]) -> Bool {
        connection.write(stream, bytes.rawSpan) == bytes.count
    }

    private static func send(
        _ connection: inout Connection, _ area: inout [UInt8], _ numbers: inout [UInt64], _ next: inout UInt64,
        _ now: Instant
    ) -> Int {
        var sent = 0
        var span = area.mutableRawSpan
        while sent < train, connection.wantsToSend(leg: leg, now: now) {
            var payload = span.packet(sent, size)
            let number = next + connection.numbersToSkip()
            guard connection.writePacket(leg: leg, packetNumber: number, into: &payload, now: now) else { break }
            next = number + 1
            numbers[sent] = number
            sent += 1
        }
        return sent
    }

    private static func receive(
        _ connection: inout Connection, _ area: [UInt8], _ numbers: [UInt64], _ count: Int, _ now: Instant
    ) {
        let bytes = area.rawSpan
        for position in 0..<count {
            let payload = bytes.extracting(position * size..<(position + 1) * size)
            guard
                case .accepted = connection.receive(
                    leg: leg, packetNumber: numbers[position], payload: payload, now: now)
            else { fail("received") }
        }
    }
}
