import EventLoop
import LoopTesting
import Sessions
import Testing
import Transport
import Wire

/// The ways in which an owner learns that its session is over.
@Suite struct SessionEndTests {
    /// Records its calls, and ends a session that is closed.
    private final class Owner: SessionOwner {
        private(set) var calls: [String] = []

        func transmit(_ session: Session, now: Instant) -> Bool {
            calls.append("transmit")
            return true
        }

        func event(_ event: ConnectionEvent, in session: Session) { calls.append("event") }

        func closed(_ session: Session) {
            calls.append("closed")
            session.end()
        }
    }

    private static let leg = LegID(0)
    private let loop: Loop
    private let owner = Owner()
    private let session: Session

    init() throws {
        loop = Loop.simulated()
        let turn = SessionTurn(loop: loop)
        session = Session(turn: turn, role: .initiator, configuration: ConnectionConfiguration(), seed: 1)
        session.owner = owner
        session.connection.addLeg(Self.leg, payloadSize: 1_260, now: turn.now)
        loop.addAtTurnEnd { [turn] in turn.run() }
    }

    @Test("A session that its own side has closed is over once what it says of it is sent") func ownClose() {
        session.connection.close(code: 7)
        session.touch()
        #expect(loop.run(for: .seconds(1)) { owner.calls == ["transmit", "closed"] })
        session.touch()
        #expect(!loop.run(for: .seconds(1)) { owner.calls.count > 2 })
        loop.close()
    }

    @Test("A session that the peer has closed is over as well") func peersClose() {
        var peer = Connection(role: .responder, seed: 2)
        let now = session.turn.now
        peer.addLeg(Self.leg, payloadSize: 1_260, now: now)
        peer.close(code: 3)
        var bytes = [UInt8](repeating: 0, count: 1_260)
        var payload = bytes.mutableRawSpan
        #expect(peer.writePacket(leg: Self.leg, packetNumber: 0, into: &payload, now: now))
        _ = session.connection.receive(leg: Self.leg, packetNumber: 0, payload: bytes.rawSpan, now: now)
        session.touch()
        #expect(loop.run(for: .seconds(1)) { owner.calls.last == "closed" })
        #expect(owner.calls == ["transmit", "closed"])
        loop.close()
    }

    @Test("A session that is to end soon ends with the turn, and sends nothing more") func soon() {
        session.touch()
        session.endSoon()
        #expect(owner.calls.isEmpty)
        #expect(loop.run(for: .seconds(1)) { owner.calls == ["closed"] })
        #expect(!loop.run(for: .seconds(1)) { owner.calls.count > 1 })
        loop.close()
    }
}
