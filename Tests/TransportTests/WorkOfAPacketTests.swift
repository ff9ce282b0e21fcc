import BasicContainers
import Testing
import Wire

@testable import Transport

/// The work that one packet can cause in a connection is bounded; it is counted in steps, not in time.
@Suite struct WorkOfAPacketTests {
    private let now = Instant(nanoseconds: 5_000_000_000)

    private func connection(_ configuration: ConnectionConfiguration = ConnectionConfiguration()) -> Connection {
        var connection = Connection(role: .responder, configuration: configuration, seed: 3)
        connection.addLeg(LegID(0), payloadSize: 1_260, now: now)
        return connection
    }

    private func deliver(_ frames: [UInt8], to connection: inout Connection, number: UInt64) -> ConnectionVerdict {
        let bytes = frames + [UInt8](repeating: 0, count: 1_260 - frames.count)
        return connection.receive(leg: LegID(0), packetNumber: number, payload: bytes.rawSpan, now: now)
    }

    private func frame(_ type: UInt8, _ fields: [UInt64], _ data: [UInt8] = []) -> [UInt8] {
        var writer = ByteWriter()
        writer.u8(type)
        for field in fields { writer.varint(field) }
        writer.raw(data)
        return writer.bytes
    }

    /// An ACK of leg 0 with these ranges, the highest first.
    private func ack(_ ranges: [ClosedRange<UInt64>]) -> [UInt8] {
        var fields = [ranges[0].upperBound, 0, UInt64(ranges.count - 1), UInt64(ranges[0].count - 1)]
        for (before, range) in zip(ranges, ranges.dropFirst()) {
            fields += [before.lowerBound - range.upperBound - 2, UInt64(range.count - 1)]
        }
        return [FrameType.ack, 0] + frame(0, fields).dropFirst()
    }

    /// A connection that has sent packets 0 to `count - 1`.
    private func sender(_ count: UInt64) -> Connection {
        var connection = connection()
        for number in 0..<count {
            connection.ping(LegID(0))
            var packet = [UInt8](repeating: 0, count: 1_260)
            var bytes = packet.mutableRawSpan
            let isWritten = connection.writePacket(leg: LegID(0), packetNumber: number, into: &bytes, now: now)
            #expect(isWritten)
        }
        return connection
    }

    @Test("s22: a second ACK of a leg in one packet is a violation") func s22_oneAcknowledgementAPacket() {
        var connection = sender(10)
        #expect(deliver(ack([3...4]) + ack([1...1]), to: &connection, number: 0) == .violation(.protocolViolation))
        // In two packets both ACKs are valid, and so is one for another leg, known or not.
        var other = sender(10)
        var unknown = ack([1...1])
        unknown[1] = 9
        #expect(deliver(ack([3...4]) + unknown, to: &other, number: 0) == .accepted)
        #expect(deliver(ack([1...1]), to: &other, number: 1) == .accepted)
    }

    @Test("s22: an ACK costs what it newly acknowledges, whatever is in flight") func s22_acknowledgedRunsAreOneStep() {
        for count in [100, 1_000, 4_000] as [UInt64] {
            var connection = sender(count)
            // Number 0 is left out, so that nothing leaves the log.
            #expect(deliver(ack([1...count - 1]), to: &connection, number: 0) == .accepted)
            #expect(holds(connection.legs[0].sent.steps == Int(count - 1)))
            for number in 1...20 as ClosedRange<UInt64> {
                #expect(deliver(ack([1...count - 1]), to: &connection, number: number) == .accepted)
                #expect(
                    deliver(ack([(count / 2)...(count - 3), 5...8]), to: &connection, number: 100 + number) == .accepted
                )
            }
            // One step for each range.
            #expect(holds(connection.legs[0].sent.steps == Int(count - 1) + 20 * 3))
        }
    }

    @Test("s22: runs between holes are passed one by one, and a hole that is filled joins them")
    func s22_holesBetweenRuns() {
        var connection = sender(400)
        var number: UInt64 = 0
        for high in stride(from: UInt64(398), through: 18, by: -20) {
            let ranges = (0..<10 as Range<UInt64>).map { (high - $0 * 2)...(high - $0 * 2) }
            #expect(deliver(ack(ranges), to: &connection, number: number) == .accepted)
            number += 1
        }
        let before = connection.legs[0].sent.steps
        // Each hole is new, and each run between two holes is one step.
        #expect(deliver(ack([19...398]), to: &connection, number: number) == .accepted)
        #expect(holds(connection.legs[0].sent.steps - before == 380))
        #expect(deliver(ack([19...398]), to: &connection, number: number + 1) == .accepted)
        #expect(holds(connection.legs[0].sent.steps - before == 381))
        // An ACK that also covers the numbers left out before is accepted.
        #expect(deliver(ack([0...398]), to: &connection, number: number + 2) == .accepted)
    }

    @Test("s22: a frame makes the stream that it names, and none below it") func s22_streamsAreMadeOneByOne() {
        var connection = connection()
        #expect(deliver(frame(0x0a, [8_190, 1], [7]), to: &connection, number: 0) == .accepted)
        #expect(holds(connection.streams.count == 1))
        #expect(connection.nextEvent() == .streamOpened(StreamID(8_190)))
        #expect(connection.nextEvent() == .readable(StreamID(8_190)))
        #expect(connection.nextEvent() == nil)
        // Lower streams are open. The first frame of each makes it, in any order and only once.
        for (number, id) in ([0, 8_188, 4_000, 0] as [UInt64]).enumerated() {
            #expect(deliver(frame(0x0a, [id, 1], [7]), to: &connection, number: UInt64(number) + 1) == .accepted)
        }
        #expect(holds(connection.streams.count == 4))
        for id in [0, 8_188, 4_000] as [UInt64] {
            #expect(connection.nextEvent() == .streamOpened(StreamID(id)))
            #expect(connection.nextEvent() == .readable(StreamID(id)))
        }
        #expect(connection.nextEvent() == nil)
        // A stream that has ended is not made again.
        #expect(deliver(frame(FrameType.resetStream, [0, 1, 1]), to: &connection, number: 10) == .accepted)
        connection.reset(StreamID(0), code: 1)
        var packet = [UInt8](repeating: 0, count: 1_260)
        var bytes = packet.mutableRawSpan
        #expect(holds(connection.writePacket(leg: LegID(0), packetNumber: 0, into: &bytes, now: now)))
        #expect(deliver(ack([0...0]), to: &connection, number: 11) == .accepted)
        var last: ConnectionEvent?
        while let event = connection.nextEvent() { last = event }
        #expect(last == .streamClosed(StreamID(0)))
        #expect(deliver(frame(0x0a, [0, 1], [7]), to: &connection, number: 12) == .accepted)
        #expect(connection.nextEvent() == nil)
        #expect(deliver(frame(0x0a, [8_192, 1], [7]), to: &connection, number: 13) == .violation(.streamLimit))
    }

    @Test("s22: streams named in any order hold memory for themselves alone") func s22_streamsInTheWorstOrder() {
        var connection = connection()
        for number in 0..<2_048 as Range<UInt64> {
            // Every other stream: this gives the greatest number of runs of unnamed streams.
            #expect(deliver(frame(0x0a, [number * 4 + 2, 0]), to: &connection, number: number) == .accepted)
        }
        #expect(holds(connection.streams.count == 2_048 && connection.unmade.count == 2_048))
    }

    /// Sends and acknowledges all packets of `connection` one by one; returns the bytes of each stream.
    private func drain(_ connection: inout Connection, _ number: inout UInt64) throws -> [UInt64: Int] {
        var bytesOfStreams: [UInt64: Int] = [:]
        var packet = [UInt8](repeating: 0, count: 1_260)
        while connection.wantsToSend(leg: LegID(0), now: now) {
            var bytes = packet.mutableRawSpan
            guard connection.writePacket(leg: LegID(0), packetNumber: number, into: &bytes, now: now) else { break }
            var reader = FrameReader(packet.rawSpan)
            while let frame = try reader.next() {
                if case .stream(let part) = frame { bytesOfStreams[part.stream, default: 0] += part.data.byteCount }
            }
            #expect(deliver(ack([number...number]), to: &connection, number: number) == .accepted)
            number += 1
        }
        return bytesOfStreams
    }

    /// A connection whose credit is used up, with `count` streams that have 1,000 bytes each to send.
    private func crowd(_ count: Int, _ number: inout UInt64) throws -> Connection {
        var connection = connection()
        #expect(
            deliver(frame(FrameType.maxStreams, [UInt64(count) + 8]), to: &connection, number: 100_000) == .accepted)
        let chunk = [UInt8](repeating: 1, count: 4 << 10)
        // Eight streams take most of the credit. The last of it goes to streams that have sent little.
        var left = InitialLimits.data
        for _ in 0..<8 {
            let stream = try connection.openStream()
            for _ in 0..<50 where left > 0 {
                left -= connection.write(stream, Array(chunk[..<min(left, chunk.count)]).rawSpan)
                _ = try drain(&connection, &number)
            }
        }
        while connection.sendLimit > connection.sentData {
            let stream = try connection.openStream()
            _ = connection.write(stream, chunk.rawSpan)
            _ = try drain(&connection, &number)
        }
        for _ in 0..<count - 100 {
            #expect(holds(connection.write(try connection.openStream(), Array(chunk[..<1_000]).rawSpan) == 1_000))
        }
        #expect(try drain(&connection, &number).isEmpty)
        return connection
    }

    @Test("R6: credit that comes byte by byte wakes a stream for each byte, however many wait")
    func r6_creditInSmallPieces() throws {
        var number: UInt64 = 0
        var connection = try crowd(1_000, &number)
        #expect(holds(connection.blockedQueue.count >= 900))
        let queued = connection.blockedQueue.tail
        for step in 1...50 as ClosedRange<UInt64> {
            let limit = UInt64(InitialLimits.data) + step
            #expect(deliver(frame(FrameType.maxData, [limit]), to: &connection, number: 200_000 + step) == .accepted)
            #expect(try drain(&connection, &number).values.reduce(0, +) == 1)
        }
        // Each woken stream waits again behind the others, and no other stream was looked at.
        #expect(holds(connection.blockedQueue.tail - queued == 50))
        #expect(holds(connection.sendQueue.isEmpty && connection.blockedQueue.count >= 900))
    }

    @Test("R6: credit that suffices for all reaches all of the streams that wait") func r6_allAreWoken() throws {
        var number: UInt64 = 0
        var connection = try crowd(600, &number)
        let waiting = connection.blockedQueue.count + connection.blockedLongQueue.count
        // Some streams end in the meantime.
        let ended = connection.streams.count - 50
        for slot in ended..<connection.streams.count {
            connection.reset(StreamID(connection.streams[slot].id), code: 1)
        }
        _ = try drain(&connection, &number)
        #expect(deliver(frame(FrameType.maxData, [1 << 24]), to: &connection, number: 200_000) == .accepted)
        let sent = try drain(&connection, &number)
        #expect(sent.count == waiting - 50)
        #expect(holds(connection.heldToSend == 0 && !connection.hasData))
        #expect(holds(connection.blockedQueue.isEmpty && connection.blockedLongQueue.isEmpty))
    }

    @Test("R6: the last of the credit wakes none of those that have sent much") func r6_theLastOfTheCredit() throws {
        var number: UInt64 = 0
        var connection = connection()
        let long = try (0..<8).map { _ in try connection.openStream() }
        let chunk = [UInt8](repeating: 1, count: 4 << 10)
        for _ in 0..<40 {
            for stream in long { _ = connection.write(stream, chunk.rawSpan) }
            _ = try drain(&connection, &number)
        }
        #expect(holds(connection.sendLimit - connection.sentData == 64 << 10))
        #expect(holds(connection.blockedLongQueue.count == 8))
        let queued = connection.blockedLongQueue.tail
        let request = try connection.openStream()
        #expect(connection.write(request, chunk.rawSpan) == chunk.count)
        #expect(try drain(&connection, &number) == [request.value: chunk.count])
        let limit = UInt64(InitialLimits.data)
        #expect(deliver(frame(FrameType.maxData, [limit + 4_096]), to: &connection, number: 200_000) == .accepted)
        #expect(try drain(&connection, &number).isEmpty)
        #expect(holds(connection.blockedLongQueue.tail == queued))
        #expect(deliver(frame(FrameType.maxData, [limit + 4_196]), to: &connection, number: 200_001) == .accepted)
        #expect(try drain(&connection, &number).values.reduce(0, +) == 100)
        #expect(holds(connection.blockedLongQueue.tail - queued <= 2))
    }

    @Test("s22: a control connection takes no datagrams") func s22_controlTakesNoDatagrams() {
        for datagram in [frame(0x30, [1, 1], [7]), frame(0x31, [1, 1, 65_507, 0, 1], [7])] {
            var connection = connection(.control)
            #expect(deliver(datagram, to: &connection, number: 0) == .violation(.protocolViolation))
            #expect(holds(connection.memoryUse < 16 << 10))
            #expect(holds(!connection.sendDatagram(flow: 1, [UInt8](repeating: 1, count: 9).rawSpan)))
        }
    }

    @Test("s22: a packet begins two unfinished datagrams at most") func s22_fragmentsOfOnePacket() {
        var connection = connection()
        let many = (0..<90 as Range<UInt64>).flatMap { frame(0x31, [1, $0, 65_507, 0, 1], [7]) }
        #expect(deliver(many, to: &connection, number: 0) == .accepted)
        #expect(holds(connection.reassembly.held == 2 * 65_507))
        #expect(deliver(many, to: &connection, number: 1) == .accepted)
        // The first two datagrams of this packet are known, and two more have begun.
        #expect(holds(connection.reassembly.held == 4 * 65_507))
    }

    @Test("s22: a packet number that no acknowledgement could name is dropped") func s22_packetNumbersBeyondVarints() {
        var connection = connection()
        for number in [1 << 62, .max] as [UInt64] {
            #expect(deliver([FrameType.ping], to: &connection, number: number) == .dropped(.stale))
        }
        #expect(deliver([FrameType.ping], to: &connection, number: 1 << 62 - 1) == .accepted)
        var packet = [UInt8](repeating: 0, count: 1_260)
        var bytes = packet.mutableRawSpan
        #expect(holds(connection.writePacket(leg: LegID(0), packetNumber: 0, into: &bytes, now: now)))
    }
}
