import BasicContainers
import Testing
import Wire

@testable import Transport

/// Which late packets make a leg wait longer before it declares others lost.
@Suite struct ReorderingTests {
    private let now = Instant(nanoseconds: 5_000_000_000)

    /// An initiator with two legs that has sent packets 0 to 99 on leg 0.
    private func sender() -> Connection {
        var connection = Connection(role: .initiator, seed: 3)
        for leg in 0...1 as ClosedRange<UInt8> {
            connection.addLeg(LegID(leg), payloadSize: 256, initialRTT: .milliseconds(60), now: now)
        }
        for number in 0..<100 as Range<UInt64> {
            connection.ping(LegID(0))
            var packet = [UInt8](repeating: 0, count: 256)
            var bytes = packet.mutableRawSpan
            #expect(holds(connection.writePacket(leg: LegID(0), packetNumber: number, into: &bytes, now: now)))
        }
        return connection
    }

    /// Delivers an ACK of one range of leg 0's packets.
    private func acknowledge(_ range: ClosedRange<UInt64>, to connection: inout Connection, number: UInt64, at: Instant)
    {
        var writer = ByteWriter()
        writer.raw([FrameType.ack, 0])
        for field in [range.upperBound, 0, 0, UInt64(range.count - 1)] { writer.varint(field) }
        let bytes = writer.bytes + [UInt8](repeating: 0, count: 256 - writer.bytes.count)
        #expect(
            connection.receive(leg: LegID(0), packetNumber: number, payload: bytes.rawSpan, now: at) == .accepted)
    }

    @Test("packets that were queued again for another leg, and arrive after all, are not reordered packets")
    func requeuedPackets() throws {
        var connection = sender()
        let next = connection.nextDeadline
        let deadline = try #require(next)
        connection.deadlineReached(now: deadline)
        connection.activate(LegID(1), now: deadline)
        acknowledge(0...99, to: &connection, number: 0, at: deadline + .seconds(1))
        let found = connection.legStatus(LegID(0))
        let status = try #require(found)
        #expect(status.bytesInFlight == 0 && status.packetsAcknowledged == 100)
        #expect(status.packetsLost == 0 && status.packetsSpuriouslyLost == 0)
        #expect(holds(connection.legs[0].packetThreshold == Leg.initialPacketThreshold))
        #expect(holds(connection.legs[0].reorderEighths == 1))
    }

    @Test("packets that loss detection declared lost, and that arrive after all, are") func overtakenPackets() throws {
        var connection = sender()
        acknowledge(50...50, to: &connection, number: 0, at: now + .milliseconds(60))
        #expect(connection.legStatus(LegID(0))?.packetsLost == 48)
        acknowledge(0...50, to: &connection, number: 1, at: now + .milliseconds(61))
        let found = connection.legStatus(LegID(0))
        let status = try #require(found)
        #expect(status.packetsLost == 48 && status.packetsSpuriouslyLost == 48)
        #expect(holds(connection.legs[0].packetThreshold == 52))
        #expect(holds(connection.legs[0].reorderEighths == 8))
    }
}
