import SeededRandom
import Testing
import Transport
import Wire

/// A peer that makes false claims is caught, costs little and traps nothing.
struct HostilePeerTests {
    private static let now = Instant(nanoseconds: 5_000_000_000)

    private static func connection(_ role: ConnectionRole = .responder) -> Connection {
        var connection = Connection(role: role, seed: 3)
        connection.addLeg(LegID(0), payloadSize: 1_260, now: now)
        return connection
    }

    private static func deliver(
        _ frames: [UInt8], to connection: inout Connection, number: UInt64 = 0, at time: Instant = now
    ) -> ConnectionVerdict {
        let bytes = frames + [UInt8](repeating: 0, count: max(0, 1_260 - frames.count))
        let span = bytes.span
        return unsafe connection.receive(leg: LegID(0), packetNumber: number, payload: span.bytes, now: time)
    }

    private static func stream(_ id: UInt64, at offset: UInt64, _ data: [UInt8], fin: Bool = false) -> [UInt8] {
        var writer = ByteWriter()
        writer.u8(0x0e | (fin ? 1 : 0))
        writer.varint(id)
        writer.varint(offset)
        writer.varint(UInt64(data.count))
        writer.raw(data)
        return writer.bytes
    }

    private static func ack(_ ranges: [(UInt64, UInt64)], leg: UInt8 = 0) -> [UInt8] {
        var writer = ByteWriter()
        writer.u8(2)
        writer.u8(leg)
        writer.varint(ranges[0].1)
        writer.varint(0)
        writer.varint(UInt64(ranges.count - 1))
        writer.varint(ranges[0].1 - ranges[0].0)
        for index in 1..<max(1, ranges.count) {
            writer.varint(ranges[index - 1].0 - ranges[index].1 - 2)
            writer.varint(ranges[index].1 - ranges[index].0)
        }
        return writer.bytes
    }

    private static func send(_ connection: inout Connection, number: UInt64) -> Bool {
        connection.ping(LegID(0))
        var bytes = [UInt8](repeating: 0, count: 1_260)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        return connection.writePacket(leg: LegID(0), packetNumber: number, into: &raw, now: now)
    }

    @Test func s01_anEndWithoutBytesReservesNothingAndCopiesNothing() {
        var one = Self.connection()
        // Three bytes behind a hole take 2 KiB. The end far behind them takes none. The next bytes make the ring grow.
        #expect(Self.deliver(Self.stream(0, at: 100, [1, 2, 3]), to: &one) == .accepted)
        #expect(Self.deliver(Self.stream(0, at: 200_000, [], fin: true), to: &one, number: 1) == .accepted)
        #expect(Self.deliver(Self.stream(0, at: 3_000, [4, 5, 6]), to: &one, number: 2) == .accepted)
        let start = (0..<3_003).map { [1, 2, 3, 4, 5, 6][$0 < 103 ? max(0, $0 - 100) : max(3, $0 - 2_997)] as UInt8 }
        #expect(Self.deliver(Self.stream(0, at: 0, Array(start[0..<1_000])), to: &one, number: 3) == .accepted)
        #expect(Self.deliver(Self.stream(0, at: 1_000, Array(start[1_000..<2_000])), to: &one, number: 4) == .accepted)
        #expect(Self.deliver(Self.stream(0, at: 2_000, Array(start[2_000..<3_000])), to: &one, number: 5) == .accepted)
        var read: [UInt8] = []
        while one.withReadable(
            StreamID(0),
            { bytes in
                unsafe bytes.withUnsafeBytes { unsafe read.append(contentsOf: $0) }
                return bytes.byteCount
            }) > 0
        {}
        #expect(read == start)
    }

    @Test func s01_aChallengeBehindTheEndOfItsLegHasNoEffect() {
        for frames in [[0x22, 0, 0x1a, 1, 2, 3, 4, 5, 6, 7, 8], [0x22, 0, 0x01, 0x20, 0, 0]] as [[UInt8]] {
            var one = Self.connection()
            #expect(Self.deliver(frames, to: &one) == .accepted)
            #expect(one.nextEvent() == .legClosed(LegID(0)))
            #expect(one.nextEvent() == nil)
            // The earlier leg stays as it is.
            var two = Self.connection()
            two.addLeg(LegID(1), payloadSize: 1_260, now: Self.now)
            #expect(Self.deliver(frames, to: &two) == .accepted)
            // Data now goes over the other leg, but nothing of this packet is counted for that leg.
            var packet = [UInt8](repeating: 0, count: 1_260)
            do {
                var span = packet.mutableSpan
                var raw = unsafe span.mutableBytes
                _ = two.writePacket(leg: LegID(1), packetNumber: 0, into: &raw, now: Self.now)
            }
            #expect(packet.count == 1_260 && !packet.contains([1, 2, 3, 4, 5, 6, 7, 8]))
            let status = two.legStatus(LegID(1))
            #expect(status?.packetsReceived == 0 && status?.lastReceived == nil)
        }
    }

    @Test func dataBeyondTheGrantIsAViolation() {
        var one = Self.connection()
        #expect(Self.deliver(Self.stream(0, at: 256 << 10, [1]), to: &one) == .violation(.flowControl))
        #expect(holds(one.isClosed))
        // Every stream keeps within its grant, but together they exceed the connection's grant.
        var many = Self.connection()
        var last = ConnectionVerdict.accepted
        var accepted = 0
        for index in 0..<200 as Range<UInt64> where last == .accepted {
            last = Self.deliver(Self.stream(index * 2, at: 256 << 10 - 1, [1]), to: &many, number: index)
            if last == .accepted { accepted += 1 }
        }
        #expect(last == .violation(.flowControl))
        let window = ConnectionConfiguration().maxConnectionWindow
        #expect(accepted * (256 << 10) <= window && accepted * (256 << 10) > window / 4 * 3)
    }

    @Test(arguments: [false, true]) func aResetBehindTheLastByteIsNoEndUnlessTheEndHasCome(hasEnded: Bool) {
        var connection = Self.connection()
        #expect(Self.deliver(Self.stream(0, at: 0, [7], fin: hasEnded), to: &connection) == .accepted)
        #expect(connection.withReadable(StreamID(0)) { $0.byteCount } == 1)
        while connection.nextEvent() != nil {}
        #expect(Self.deliver([FrameType.resetStream, 0, 1, 1], to: &connection, number: 1) == .accepted)
        #expect(connection.readState(StreamID(0)) == (hasEnded ? .finished : .reset(1)))
        #expect(connection.nextEvent() == (hasEnded ? nil : .reset(StreamID(0), code: 1)))
    }

    @Test func streamsBeyondTheGrantAreAViolation() {
        var connection = Self.connection()
        #expect(Self.deliver(Self.stream(8_190, at: 0, [1]), to: &connection) == .accepted)
        #expect(Self.deliver(Self.stream(8_192, at: 0, [1]), to: &connection, number: 1) == .violation(.streamLimit))
        var other = Self.connection()
        #expect(Self.deliver(Self.stream(1, at: 0, [1]), to: &other) == .violation(.streamState))
    }

    @Test func theFinalSizeStands() {
        for lie in [Self.stream(0, at: 3, [1]), Self.stream(0, at: 0, [1], fin: true), [4, 0, 0, 9]] {
            var connection = Self.connection()
            #expect(Self.deliver(Self.stream(0, at: 0, [1, 2, 3], fin: true), to: &connection) == .accepted)
            #expect(Self.deliver(lie, to: &connection, number: 1) == .violation(.finalSize))
        }
        var connection = Self.connection()
        #expect(Self.deliver(Self.stream(0, at: 5, [1]), to: &connection) == .accepted)
        #expect(
            Self.deliver(Self.stream(0, at: 0, [1], fin: true), to: &connection, number: 1) == .violation(.finalSize))
    }

    @Test func acknowledgingWhatWasNotSentIsAViolation() {
        var connection = Self.connection()
        #expect(Self.send(&connection, number: 0))
        #expect(Self.deliver(Self.ack([(1, 1)]), to: &connection) == .violation(.protocolViolation))
        // Number 2 was skipped.
        for claim in [[(0, 4)], [(2, 2)], [(1, 2)], [(2, 3)], [(4, 4), (2, 2)]] as [[(UInt64, UInt64)]] {
            var connection = Self.connection()
            for number in [0, 1, 3, 4] as [UInt64] { #expect(Self.send(&connection, number: number)) }
            #expect(Self.deliver(Self.ack(claim), to: &connection) == .violation(.protocolViolation))
        }
        var honest = Self.connection()
        for number in [0, 1, 3, 4] as [UInt64] { #expect(Self.send(&honest, number: number)) }
        #expect(Self.deliver(Self.ack([(3, 4), (0, 1)]), to: &honest) == .accepted)
        #expect(holds(honest.legStatus(LegID(0))?.packetsAcknowledged == 4))
        #expect(holds(honest.legStatus(LegID(0))?.bytesInFlight == 0))
    }

    @Test func moreThan32RangesAreRefused() {
        var connection = Self.connection()
        let ranges = (0..<33 as Range<UInt64>).map { (200 - $0 * 3, 200 - $0 * 3) }
        #expect(Self.deliver(Self.ack(ranges), to: &connection) == .violation(.frameEncoding))
    }

    @Test func aFloodOfGapsIsBounded() {
        var connection = Self.connection()
        var refused = 0
        for number in 0..<2_000 as Range<UInt64> {
            let verdict = Self.deliver(Self.stream(0, at: 1 + number * 2, [9]), to: &connection, number: number)
            if verdict == .dropped(.tooManyGaps) { refused += 1 }
        }
        #expect(refused == 2_000 - 512)
        #expect(holds(connection.memoryUse < 256 << 10))
        // Refused packets are not acknowledged, and the stream still works.
        #expect(Self.deliver(Self.stream(0, at: 0, [9]), to: &connection, number: 3_000) == .accepted)
        #expect(holds(connection.readableCount(StreamID(0)) == 2))
    }

    @Test func fragmentsThatNeverEndAreBounded() {
        var connection = Self.connection()
        for number in 0..<1_000 as Range<UInt64> {
            var writer = ByteWriter()
            writer.u8(0x31)
            for value in [1, number, 65_507, 0, 1] as [UInt64] { writer.varint(value) }
            writer.u8(7)
            #expect(Self.deliver(writer.bytes, to: &connection, number: number) == .accepted)
        }
        #expect(holds(connection.memoryUse < 1 << 20))
    }

    @Test func anyBytesGiveAVerdict() {
        var generator = SeededGenerator(seed: 8)
        for _ in 0..<3_000 {
            var connection = Self.connection(Bool.random(using: &generator) ? .initiator : .responder)
            _ = Self.send(&connection, number: 0)
            for number in 0..<4 as Range<UInt64> {
                var bytes = (0..<Int.random(in: 0...60, using: &generator)).map { _ in
                    UInt8.random(in: 0...255, using: &generator)
                }
                if let first = bytes.first { bytes[0] = first % 0x34 }
                _ = Self.deliver(bytes, to: &connection, number: number)
                while connection.nextEvent() != nil {}
                _ = Self.send(&connection, number: number + 1)
            }
        }
    }
}
