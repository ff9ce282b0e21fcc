import SeededRandom
import Testing
import Transport
import Wire

/// The leg over which a responder sends: the initiator's choice, or another while that leg is missing or silent.
@Suite struct ActiveLegTests {
    let now = Instant(nanoseconds: 1_000_000_000)

    /// A responder, with its packet numbers.
    final class Responder {
        var connection = Connection(role: .responder, seed: 7)
        private var numbers: [UInt8: UInt64] = [:]

        func add(_ leg: UInt8, _ now: Instant) { _ = connection.addLeg(LegID(leg), payloadSize: 256, now: now) }

        /// Receives LEG_ACTIVE or LEG_CLOSE frames on a leg.
        func takes(_ frames: [(type: UInt8, leg: UInt8, sequence: UInt64)], on leg: UInt8, _ now: Instant) {
            var writer = ByteWriter()
            for frame in frames {
                writer.u8(frame.type)
                writer.u8(frame.leg)
                if frame.type == FrameType.legActive { writer.varint(frame.sequence) }
            }
            let bytes = writer.bytes + [UInt8](repeating: 0, count: 256 - writer.bytes.count)
            let number = numbers[leg, default: 0]
            numbers[leg] = number + 1
            _ = connection.receive(leg: LegID(leg), packetNumber: number, payload: bytes.rawSpan, now: now)
        }

        var active: UInt8? { connection.activeLeg?.value }
    }

    @Test("R7: a responder that has lost all its legs sends over the next one, and obeys the first LEG_ACTIVE")
    func allLegsLost() {
        let responder = Responder()
        responder.add(0, now)
        responder.add(1, now)
        responder.connection.removeLeg(LegID(0), now: now)
        responder.connection.removeLeg(LegID(1), now: now)
        #expect(responder.active == nil)
        responder.add(2, now)
        #expect(responder.active == 2)
        responder.add(3, now)
        responder.takes([(FrameType.legActive, 3, 1)], on: 2, now)
        #expect(responder.active == 3)
    }

    @Test("a choice whose leg comes later takes effect then; an old or repeated one has no effect")
    func laterAndRepeated() {
        let responder = Responder()
        responder.add(0, now)
        responder.takes([(FrameType.legActive, 2, 5)], on: 0, now)
        #expect(responder.active == 0)
        responder.add(1, now)
        #expect(responder.active == 0)
        responder.add(2, now)
        #expect(responder.active == 2)
        responder.takes([(FrameType.legActive, 1, 5), (FrameType.legActive, 0, 4)], on: 0, now)
        #expect(responder.active == 2)
        responder.takes([], on: 1, now + .seconds(1))
        responder.takes([(FrameType.legClose, 2, 0)], on: 0, now)
        #expect(responder.active == 1, "the leg that was heard last")
        responder.takes([(FrameType.legActive, 0, 6)], on: 1, now)
        #expect(responder.active == 0)
    }

    @Test("whatever LEG_ACTIVE and LEG_CLOSE say, a responder with legs has one that it sends over", arguments: 1...20)
    func lies(seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        let responder = Responder()
        var legs: Set<UInt8> = []
        for _ in 0..<300 {
            let leg = UInt8.random(in: 0..<12, using: &generator)
            switch Int.random(in: 0..<6, using: &generator) {
            case 0, 1:
                if holds(responder.connection.addLeg(LegID(leg), payloadSize: 256, now: now)) { legs.insert(leg) }
            case 2:
                responder.connection.removeLeg(LegID(leg), now: now)
                legs.remove(leg)
            default:
                guard let on = legs.sorted().randomElement(using: &generator) else { continue }
                let closes = generator.chance(0.3)
                let sequence = generator.chance(0.02) ? 1 << 62 - 1 : UInt64.random(in: 0..<1_000, using: &generator)
                responder.takes([(closes ? FrameType.legClose : FrameType.legActive, leg, sequence)], on: on, now)
                if closes { legs.remove(leg) }
            }
            #expect(responder.active.map { legs.contains($0) } ?? legs.isEmpty)
        }
    }
}
