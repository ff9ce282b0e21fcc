import Testing
import Transport
import Wire

/// Streams send in turns of several packets, and short streams do not wait for long ones.
struct TurnTests {
    /// Two ends on a lossless wire of 1 ms; the sender's packets are inspected on the way.
    struct Wires: ~Copyable {
        var sender = Connection(role: .initiator, seed: 1)
        var receiver = Connection(role: .responder, seed: 2)
        var numbers: (UInt64, UInt64) = (0, 0)
        var now = Instant(nanoseconds: 1_000_000_000)
        /// The STREAM frames in each of the sender's packets, as stream and number of bytes.
        var packets: [[(stream: UInt64, count: Int)]] = []
        var long: [StreamID] = []
        private let chunk = [UInt8](repeating: 7, count: 64 << 10)

        init(longStreams count: Int) throws {
            sender.addLeg(LegID(0), payloadSize: 1_260, initialRTT: .milliseconds(1), now: now)
            receiver.addLeg(LegID(0), payloadSize: 1_260, now: now)
            sender.activate(LegID(0), now: now)
            for _ in 0..<count { long.append(try sender.openStream()) }
            for _ in 0..<60 { try step() }
            packets = []
        }

        /// One millisecond: the sender's packets arrive, all bytes are read, and the answers arrive.
        mutating func step() throws {
            let chunk = chunk
            for stream in long { _ = sender.write(stream, chunk.rawSpan) }
            var packet = [UInt8](repeating: 0, count: 1_260)
            while sender.wantsToSend(leg: LegID(0), now: now) {
                var bytes = packet.mutableRawSpan
                guard sender.writePacket(leg: LegID(0), packetNumber: numbers.0, into: &bytes, now: now) else { break }
                var reader = FrameReader(packet.rawSpan)
                var frames: [(stream: UInt64, count: Int)] = []
                while let frame = try reader.next() {
                    if case .stream(let part) = frame { frames.append((part.stream, part.data.byteCount)) }
                }
                packets.append(frames)
                _ = receiver.receive(leg: LegID(0), packetNumber: numbers.0, payload: packet.rawSpan, now: now)
                numbers.0 += 1
            }
            while let event = receiver.nextEvent() {
                if case .readable(let id) = event {
                    while receiver.withReadable(id, { $0.byteCount }) > 0 {}
                }
            }
            now = now + .milliseconds(1)
            while receiver.wantsToSend(leg: LegID(0), now: now) {
                var bytes = packet.mutableRawSpan
                guard receiver.writePacket(leg: LegID(0), packetNumber: numbers.1, into: &bytes, now: now) else {
                    break
                }
                _ = sender.receive(leg: LegID(0), packetNumber: numbers.1, payload: packet.rawSpan, now: now)
                numbers.1 += 1
            }
            if let deadline = receiver.nextDeadline, deadline <= now { receiver.deadlineReached(now: now) }
            if let deadline = sender.nextDeadline, deadline <= now { sender.deadlineReached(now: now) }
            while sender.nextEvent() != nil {}
        }
    }

    @Test func eachStreamSendsSeveralPacketsInATurnAndAllGetTheSame() throws {
        var wires = try Wires(longStreams: 8)
        for _ in 0..<60 { try wires.step() }
        let order = wires.packets.compactMap { $0.first?.stream }
        #expect(order.count > 400)
        let turns = zip(order, order.dropFirst()).count { $0 != $1 } + 1
        #expect(order.count / turns >= 6, "\(order.count) packets in \(turns) turns")
        for stream in wires.long {
            let share = Double(order.count { $0 == stream.value }) / Double(order.count)
            #expect(share > 0.08 && share < 0.18, "\(stream): \(share)")
        }
    }

    /// If there is no room for a turn of each stream, some streams wait, and none gets tiny pieces.
    @Test func manyStreamsGetWholeTurnsOneAfterTheOtherInLittleRoom() throws {
        var wires = try Wires(longStreams: 32)
        var most = 0
        for _ in 0..<100 {
            try wires.step()
            var held = 0
            for stream in wires.long { held += wires.sender.unacknowledgedCount(stream) }
            most = max(most, held)
        }
        // Two windows, or 512 KiB if those are less, and the minimum of each stream.
        #expect(most <= 512 << 10 + 32 * 4 << 10, "\(most) bytes")
        let order = wires.packets.compactMap { $0.first?.stream }
        let turns = zip(order, order.dropFirst()).count { $0 != $1 } + 1
        #expect(order.count / turns >= 20, "\(order.count) packets in \(turns) turns")
        for stream in wires.long {
            let share = Double(order.count { $0 == stream.value }) / Double(order.count) * 32
            #expect(share > 0.7 && share < 1.3, "\(stream): \(share)")
        }
    }

    @Test func aShortWriteIsAmongTheNextTwoPackets() throws {
        var wires = try Wires(longStreams: 8)
        let request = try wires.sender.openStream()
        let bytes = [UInt8](repeating: 1, count: 200)
        #expect(wires.sender.write(request, bytes.rawSpan) == 200)
        for _ in 0..<5 where wires.packets.isEmpty { try wires.step() }
        #expect(wires.packets.prefix(2).joined().contains { $0.stream == request.value && $0.count == 200 })
    }

    @Test func manyShortWritesDoNotStopALongStream() throws {
        var wires = try Wires(longStreams: 1)
        let bytes = [UInt8](repeating: 1, count: 1_000)
        for _ in 0..<60 {
            let request = try wires.sender.openStream()
            #expect(wires.sender.write(request, bytes.rawSpan) == 1_000)
            wires.sender.finish(request)
        }
        while wires.packets.count < 60 { try wires.step() }
        let first = wires.packets.prefix(60).joined()
        let long = first.reduce(0) { $0 + ($1.stream == wires.long[0].value ? $1.count : 0) }
        let all = first.reduce(0) { $0 + $1.count }
        #expect(Double(long) / Double(all) > 0.3 && Double(long) / Double(all) < 0.6, "\(long) of \(all)")
    }
}
