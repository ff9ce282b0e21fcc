import EventLoop
import LoopTesting
import Sessions
import Testing
import Transport
import Wire

/// Whether a session moves what it holds.
@Suite struct ProgressTests {
    private final class Owner: SessionOwner {
        func transmit(_ session: Session, now: Instant) -> Bool { true }
        func event(_ event: ConnectionEvent, in session: Session) {}
        func closed(_ session: Session) {}
    }

    private static let leg = LegID(0)
    private let loop = Loop.simulated()
    private let session: Session
    private let owner = Owner()
    private let start: Instant

    init() {
        let turn = SessionTurn(loop: loop)
        start = turn.now
        session = Session(turn: turn, role: .responder, configuration: ConnectionConfiguration(), seed: 1)
        session.owner = owner
        session.connection.addLeg(Self.leg, payloadSize: 1_260, now: start)
    }

    /// Receives packet `number` with these frames.
    private func receive(_ number: UInt64, _ now: Instant, _ write: (inout ByteWriter) -> Void) {
        var writer = ByteWriter()
        write(&writer)
        let payload = writer.bytes + [UInt8](repeating: 0, count: 1_260 - writer.bytes.count)
        _ = session.connection.receive(leg: Self.leg, packetNumber: number, payload: payload.rawSpan, now: now)
    }

    private func stream(_ id: UInt64, at offset: UInt64, _ count: Int, _ writer: inout ByteWriter) {
        writer.u8(0x0e)
        for value in [id, offset, UInt64(count)] { writer.varint(value) }
        writer.raw([UInt8](repeating: 7, count: count))
    }

    /// Whether the session is stalled after ten seconds in which the app reads `count` bytes a second of one stream,
    /// while others hold buffers of 768 KiB for three bytes.
    private func isStalled(reading count: Int) -> Bool {
        defer { loop.close() }
        receive(0, start) { writer in
            for number in 1...3 as ClosedRange<UInt64> { stream(number * 4, at: 262_143, 1, &writer) }
        }
        #expect(session.connection.bufferedBytes == 3 << 18)
        var isStalled = false
        for second in 0..<10 {
            let now = start + .seconds(Int64(second))
            let pieces = (count + 999) / 1_000
            for piece in 0..<pieces {
                let offset = second * count + piece * 1_000
                receive(UInt64(1 + second * pieces + piece), now) {
                    stream(0, at: UInt64(offset), min(1_000, count - piece * 1_000), &$0)
                }
            }
            var taken = 0
            session.connection.withReadable(StreamID(0)) { bytes in
                taken = bytes.byteCount
                return taken
            }
            #expect(taken == count)
            isStalled = session.noteProgress(at: now)
        }
        return isStalled
    }

    @Test("s14: a byte now and then is no progress of a session with much in its buffers")
    func s14_aByteASecond() {
        #expect(isStalled(reading: 1))
    }

    @Test("s14: a session that moves a small part of what its buffers take is not stalled")
    func s14_aPartASecond() {
        #expect(!isStalled(reading: 4_000))
    }

    @Test("s14: bytes that nobody reads are no progress") func s14_resetStreams() {
        defer { loop.close() }
        receive(0, start) { stream(0, at: 262_143, 1, &$0) }
        var isStalled = false
        for second in 0..<10 as Range<UInt64> {
            let now = start + .seconds(Int64(second))
            receive(1 + second, now) { writer in
                stream(4 + 4 * second, at: 99_999, 1, &writer)
                writer.u8(4)
                for value in [4 + 4 * second, 0, 100_000] { writer.varint(value) }
            }
            isStalled = session.noteProgress(at: now)
        }
        #expect(isStalled)
    }
}
