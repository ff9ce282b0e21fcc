import Testing
import Transport
import Wire

/// Limits on the memory that a peer can make a connection hold, and false claims of a peer.
@Suite struct TransportThreatTests {
    private let now = Instant(nanoseconds: 5_000_000_000)

    private func connection(_ change: (inout ConnectionConfiguration) -> Void = { _ in }) -> Connection {
        var configuration = ConnectionConfiguration()
        change(&configuration)
        var connection = Connection(role: .responder, configuration: configuration, seed: 3)
        connection.addLeg(LegID(0), payloadSize: 1_260, now: now)
        return connection
    }

    private func deliver(_ frames: [UInt8], to connection: inout Connection, number: UInt64) -> ConnectionVerdict {
        let bytes = frames + [UInt8](repeating: 0, count: max(0, 1_260 - frames.count))
        return connection.receive(leg: LegID(0), packetNumber: number, payload: bytes.rawSpan, now: now)
    }

    /// A frame: its type, then `fields` as varints, then `data`.
    private func frame(_ type: UInt8, _ fields: [UInt64], _ data: [UInt8] = []) -> [UInt8] {
        var writer = ByteWriter()
        writer.u8(type)
        for field in fields { writer.varint(field) }
        writer.raw(data)
        return writer.bytes
    }

    private func stream(_ id: UInt64, at offset: UInt64, _ data: [UInt8]) -> [UInt8] {
        frame(0x0e, [id, offset, UInt64(data.count)], data)
    }

    /// An ACK of these ranges, the highest first.
    private func ack(_ ranges: [ClosedRange<UInt64>]) -> [UInt8] {
        var fields = [ranges[0].upperBound, 0, UInt64(ranges.count - 1), UInt64(ranges[0].count - 1)]
        for (before, range) in zip(ranges, ranges.dropFirst()) {
            fields += [before.lowerBound - range.upperBound - 2, UInt64(range.count - 1)]
        }
        var writer = ByteWriter()
        writer.u8(2)
        writer.u8(0)
        for field in fields { writer.varint(field) }
        return writer.bytes
    }

    /// Sends packets until the connection has nothing more to send; returns their number.
    private func send(_ connection: inout Connection, from first: UInt64 = 0, at time: Instant) -> UInt64 {
        var number = first
        while connection.wantsToSend(leg: LegID(0), now: time) {
            var packet = [UInt8](repeating: 0, count: 1_260)
            var bytes = packet.mutableRawSpan
            guard connection.writePacket(leg: LegID(0), packetNumber: number, into: &bytes, now: time) else { break }
            number += 1
        }
        return number - first
    }

    @Test("R5: a peer that acknowledges nothing gets little and holds no more than the send limit")
    func sniperWithoutAcknowledgements() {
        var connection = connection {
            $0.maxStreamSendBuffer = 1 << 20
            $0.maxSendBuffer = 2 << 20
        }
        // The peer grants all credit, and the connection opens a hundred streams.
        #expect(deliver(frame(0x10, [1 << 60]), to: &connection, number: 0) == .accepted)
        let chunk = [UInt8](repeating: 7, count: 64 << 10)
        var taken = 0
        for id in 0..<100 as Range<UInt64> {
            #expect(deliver(frame(0x11, [id * 2, 1 << 60]), to: &connection, number: 1 + id) == .accepted)
            while true {
                let count = connection.write(StreamID(id * 2), chunk.rawSpan)
                taken += count
                if count < chunk.count { break }
            }
        }
        // Each stream may hold a minimum in any case, which comes on top.
        #expect(taken <= 2 << 20 + 100 * 4_096)
        var sent: UInt64 = 0
        for millisecond in 0..<1_000 as Range<Int64> {
            let time = now + .milliseconds(millisecond)
            connection.deadlineReached(now: time)
            sent += send(&connection, from: sent, at: time)
        }
        #expect(sent > 0 && sent < 100)
        #expect(holds(connection.memoryUse < 5 << 20))
    }

    @Test("R5: acknowledgements of packets that were not sent close the connection instead of opening the window")
    func sniperWithFalseAcknowledgements() {
        var connection = connection()
        #expect(deliver(frame(0x11, [0, 1 << 60]), to: &connection, number: 0) == .accepted)
        let chunk = [UInt8](repeating: 7, count: 256 << 10)
        #expect(connection.write(StreamID(0), chunk.rawSpan) == chunk.count)
        let sent = send(&connection, at: now)
        #expect(sent > 1)
        #expect(deliver(ack([0...sent]), to: &connection, number: 1) == .violation(.protocolViolation))
        #expect(holds(connection.isClosed))
    }

    @Test("R5: bytes that nobody reads stay within the connection's cap") func unreadStreams() {
        var connection = connection { $0.maxConnectionWindow = 2 << 20 }
        let data = [UInt8](repeating: 9, count: 1_200)
        var number: UInt64 = 0
        var accepted = 0
        var verdict = ConnectionVerdict.accepted
        // The peer fills every stream to its limit, one after the other, until it breaks the connection's limit.
        for id in 0..<64 as Range<UInt64> where verdict == .accepted {
            for offset in stride(from: UInt64(0), to: 200 << 10, by: data.count) where verdict == .accepted {
                verdict = deliver(stream(id * 2, at: offset, data), to: &connection, number: number)
                number += 1
                if verdict == .accepted { accepted += data.count }
            }
        }
        #expect(verdict == .violation(.flowControl))
        #expect(accepted <= 2 << 20)
        #expect(holds(connection.memoryUse < 6 << 20))
    }

    @Test("R5: datagrams that nobody takes are bounded") func untakenDatagrams() {
        var connection = connection()
        for number in 0..<2_000 as Range<UInt64> {
            let datagram = frame(0x30, [1, 1_000], [UInt8](repeating: 1, count: 1_000))
            #expect(deliver(datagram, to: &connection, number: number) == .accepted)
        }
        #expect(holds(connection.memoryUse < 1 << 20))
    }

    @Test("R5: a connection holds bytes that wait while some are unsent, unacknowledged or unread")
    func waitingBytes() throws {
        var connection = connection()
        #expect(holds(!connection.hasWaitingBytes))
        #expect(deliver(stream(0, at: 0, [1, 2, 3]), to: &connection, number: 0) == .accepted)
        #expect(holds(connection.hasWaitingBytes))
        connection.withReadable(StreamID(0)) { $0.byteCount }
        #expect(holds(!connection.hasWaitingBytes))
        // Datagrams do not count.
        #expect(deliver(frame(0x30, [1, 4], [1, 2, 3, 4]), to: &connection, number: 1) == .accepted)
        #expect(holds(!connection.hasWaitingBytes))
        #expect(holds(connection.write(StreamID(0), [UInt8](repeating: 1, count: 100).rawSpan) == 100))
        #expect(holds(connection.hasWaitingBytes))
        var packet = [UInt8](repeating: 0, count: 1_260)
        var bytes = packet.mutableRawSpan
        #expect(holds(connection.writePacket(leg: LegID(0), packetNumber: 0, into: &bytes, now: now)))
        #expect(holds(connection.hasWaitingBytes))
        #expect(deliver(ack([0...0]), to: &connection, number: 2) == .accepted)
        #expect(holds(!connection.hasWaitingBytes))
    }

    @Test("R5: a flood of new streams is refused at the grant, and costs little") func streamFlood() {
        var connection = connection { $0.maxPeerStreams = 128 }
        #expect(deliver(stream(127 * 2, at: 0, [1]), to: &connection, number: 0) == .accepted)
        #expect(holds(connection.memoryUse < 256 << 10))
        #expect(deliver(stream(128 * 2, at: 0, [1]), to: &connection, number: 1) == .violation(.streamLimit))
    }

    @Test("R6: an ACK has at most 32 ranges, and ours too") func acknowledgementRanges() throws {
        var connection = connection()
        let ranges = (0..<33 as Range<UInt64>).map { (1_000 - $0 * 3)...(1_000 - $0 * 3) }
        #expect(deliver(ack(ranges), to: &connection, number: 0) == .violation(.frameEncoding))

        // Every other packet arrives: the number of ranges grows, but the ACK does not.
        var other = self.connection()
        for number in 0..<2_000 as Range<UInt64> {
            #expect(deliver(frame(0x01, []), to: &other, number: number * 2) == .accepted)
        }
        var packet = [UInt8](repeating: 0, count: 1_260)
        var bytes = packet.mutableRawSpan
        let isWritten = other.writePacket(leg: LegID(0), packetNumber: 0, into: &bytes, now: now)
        #expect(isWritten)
        var reader = FrameReader(bytes.bytes)
        var counts: [Int] = []
        while let frame = try reader.next() {
            if case .ack(let ack) = frame { counts.append(ack.rangeCount) }
        }
        #expect(counts == [32])
        // Numbers below the kept ranges cannot be told from received ones, so they are dropped.
        #expect(deliver(frame(0x01, []), to: &other, number: 1) == .dropped(.stale))
    }

    @Test("R6: holes in a stream are bounded, and a packet beyond the bound is not acknowledged") func gaps() {
        var connection = connection()
        var verdicts: [ConnectionVerdict] = []
        for number in 0..<600 as Range<UInt64> {
            verdicts.append(deliver(stream(0, at: 1 + number * 2, [9]), to: &connection, number: number))
        }
        #expect(verdicts.prefix(512).allSatisfy { $0 == .accepted })
        #expect(verdicts.dropFirst(512).allSatisfy { $0 == .dropped(.tooManyGaps) })
        // The same packet number is accepted once there is room.
        #expect(deliver(stream(0, at: 0, [9, 9, 9]), to: &connection, number: 1_000) == .accepted)
        #expect(deliver(stream(0, at: 3_000, [9]), to: &connection, number: 599) == .accepted)
    }

    @Test("R6: credit is checked before anything is kept") func creditFirst() {
        var connection = connection()
        let before = holds(connection.memoryUse < 64 << 10)
        #expect(before)
        let lie = stream(0, at: UInt64(InitialLimits.streamData), [1])
        #expect(deliver(lie, to: &connection, number: 0) == .violation(.flowControl))
        #expect(holds(connection.memoryUse < 64 << 10))
        // A final size uses credit as well.
        var other = self.connection()
        #expect(deliver(frame(0x04, [0, 0, 1 << 61]), to: &other, number: 0) == .violation(.flowControl))
    }

    @Test("R7: lengths that promise more than there is are refused before anything is reserved")
    func promisedLengths() {
        for bytes in [
            frame(0x0e, [0, 0, 1 << 30]), frame(0x30, [1, 60_000]), frame(0x31, [1, 1, 65_508, 0, 1], [1]),
            frame(0x31, [1, 1, 60_000, 59_999, 2], [1, 2]), frame(0x31, [1, 1, 60_000, 0, 50_000]),
        ] {
            var connection = connection()
            #expect(deliver(bytes, to: &connection, number: 0) == .violation(.frameEncoding))
            #expect(holds(connection.memoryUse < 64 << 10))
        }
    }

    @Test("R7: fragments of many huge datagrams stay within the budget") func fragments() {
        var connection = connection()
        for number in 0..<500 as Range<UInt64> {
            let fragment = frame(0x31, [1, number, 65_507, 0, 1], [7])
            #expect(deliver(fragment, to: &connection, number: number) == .accepted)
        }
        #expect(holds(connection.memoryUse < 1 << 20))
    }

    @Test("R6: on a connection that the peer has closed no stream is told for ever that it may write")
    func closedWriters() throws {
        var connection = connection()
        let id = try connection.openStream()
        let bytes = [UInt8](repeating: 1, count: 100_000)
        #expect(connection.write(id, bytes.rawSpan) > 0)
        #expect(deliver(frame(0x1c, [9, 0]), to: &connection, number: 0) == .accepted)
        #expect(connection.write(id, bytes.rawSpan) == 0)
        var events = 0
        while events < 100, let event = connection.nextEvent() {
            events += 1
            // An application with more bytes would write again.
            if case .writable(let id) = event { _ = connection.write(id, bytes.rawSpan) }
        }
        #expect(events < 100)
    }
}
