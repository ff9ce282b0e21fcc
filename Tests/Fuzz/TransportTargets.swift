import Transport
import Wire

/// A connection whose peer and application the input plays.
///
/// The input is a series of steps: a byte for the kind, and the step's arguments. Memory stays bounded, events end, and
/// a violation closes the connection.
func transport(_ input: RawSpan) {
    var reader = ByteReader(input)
    guard let kind = try? reader.u8() else { return }
    var configuration = ConnectionConfiguration.control
    configuration.maxLegs = 4
    configuration.congestion = kind & 2 == 0 ? .model : .cubic
    var connection = Connection(role: kind & 1 == 0 ? .initiator : .responder, configuration: configuration, seed: 3)
    var now = start
    var received: UInt64 = 0
    var sent: UInt64 = 0
    let size = 512
    connection.addLeg(LegID(0), payloadSize: size, now: now)
    var steps = 0
    while steps < 200, let step = try? reader.u8() {
        steps += 1
        now = now + .milliseconds(Int64(step >> 4))
        let leg = LegID(step >> 4 & 1)
        switch step & 15 {
        case 0...5:
            guard let length = try? reader.u8() else { return }
            let count = min(Int(length), reader.remaining)
            guard var payload = try? reader.array(count) else { return }
            payload += [UInt8](repeating: 0, count: size - payload.count)
            let verdict = connection.receive(leg: leg, packetNumber: received, payload: payload.rawSpan, now: now)
            received += 1
            if case .violation = verdict { precondition(connection.isClosed, "a violation is borne") }
        case 6, 7:
            var packet = [UInt8](repeating: 0, count: size)
            var span = packet.mutableRawSpan
            while connection.wantsToSend(leg: leg, now: now),
                connection.writePacket(leg: leg, packetNumber: sent, into: &span, now: now)
            {
                sent += 1 + connection.numbersToSkip()
                precondition(sent < 100_000, "packets without end")
            }
        case 8:
            if let deadline = connection.nextDeadline {
                now = max(now, deadline)
                connection.deadlineReached(now: now)
            }
        case 9:
            if let id = try? connection.openStream() {
                let data = [UInt8](repeating: step, count: 3_000)
                precondition(connection.write(id, data.rawSpan) <= data.count, "more is written than there is")
                if step & 16 != 0 { connection.finish(id) }
            }
        case 10:
            guard let number = try? reader.u8() else { return }
            let id = StreamID(UInt64(number))
            let readable = connection.readableCount(id)
            let taken = connection.withReadable(id) { min($0.byteCount, 1_000) }
            precondition(taken <= readable, "more is read than there is")
            if step & 16 != 0 { connection.stopSending(id, code: 1) }
        case 11:
            guard let number = try? reader.u8() else { return }
            connection.reset(StreamID(UInt64(number)), code: 2)
        case 12: connection.addLeg(LegID(1), payloadSize: size, now: now)
        case 13:
            if step & 16 == 0 { connection.activate(LegID(1), now: now) } else { connection.removeLeg(leg, now: now) }
        case 14: _ = connection.sendDatagram(flow: 4, [UInt8](repeating: 1, count: 900).rawSpan)
        default:
            if step == 255 { connection.close(code: 3) } else { connection.ping(leg) }
        }
        var events = 0
        while connection.nextEvent() != nil {
            events += 1
            precondition(events < 100_000, "events without end")
        }
        precondition(connection.memoryUse < 64 << 20, "memory without end")
    }
}
