public import EventLoop
public import Sessions
public import Transport
public import Wire

/// A session over one leg; the test plays its peer, which may stop answering or only acknowledge.
public final class PeerSession: SessionOwner {
    /// The peer's treatment of packets.
    public enum Manner {
        /// It follows the protocol.
        case honest
        /// It acknowledges every packet and sends nothing else.
        case acknowledges
        /// It ignores every packet.
        case silent
    }

    private static let payloadSize = 1_260
    private static let leg = LegID(0)
    /// The session under test.
    public let session: Session
    /// The other end of the connection.
    public var peer = Connection(role: .responder, seed: 9)
    /// The peer's treatment of packets from now on.
    public var manner = Manner.honest
    private var numbers: (near: UInt64, far: UInt64) = (0, 0)

    /// A session on `loop` whose owner is this object.
    public init(on loop: Loop) {
        let turn = SessionTurn(loop: loop)
        session = Session(turn: turn, role: .initiator, configuration: ConnectionConfiguration(), seed: 1)
        let now = Instant(nanoseconds: loop.now)
        session.owner = self
        session.connection.addLeg(Self.leg, payloadSize: Self.payloadSize, now: now)
        session.connection.activate(Self.leg, now: now)
        peer.addLeg(Self.leg, payloadSize: Self.payloadSize, now: now)
        loop.addAtTurnEnd { [turn] in turn.run() }
    }

    /// Delivers the session's packets to the peer.
    public func transmit(_ session: Session, now: Instant) -> Bool {
        while session.connection.wantsToSend(leg: Self.leg, now: now) {
            var bytes = [UInt8](repeating: 0, count: Self.payloadSize)
            var span = bytes.mutableSpan
            var payload = unsafe span.mutableBytes
            let number = numbers.near
            guard session.connection.writePacket(leg: Self.leg, packetNumber: number, into: &payload, now: now) else {
                break
            }
            numbers.near += 1
            switch manner {
            case .honest:
                _ = peer.receive(leg: Self.leg, packetNumber: number, payload: bytes.rawSpan, now: now)
                answer(now)
            case .acknowledges: acknowledge(number, now)
            case .silent: break
            }
        }
        return true
    }

    /// Delivers the peer's packets to the session.
    public func answer(_ now: Instant) {
        while peer.wantsToSend(leg: Self.leg, now: now) {
            var bytes = [UInt8](repeating: 0, count: Self.payloadSize)
            var span = bytes.mutableSpan
            var payload = unsafe span.mutableBytes
            guard peer.writePacket(leg: Self.leg, packetNumber: numbers.far, into: &payload, now: now) else { return }
            deliver(bytes, now)
        }
    }

    /// An ACK frame of a single packet (protocol.md, section 9).
    private func acknowledge(_ number: UInt64, _ now: Instant) {
        var writer = ByteWriter()
        writer.u8(2)
        writer.u8(Self.leg.value)
        for value in [number, 0, 0, 0] { writer.varint(value) }
        deliver(writer.bytes + [UInt8](repeating: 0, count: Self.payloadSize - writer.bytes.count), now)
    }

    private func deliver(_ bytes: [UInt8], _ now: Instant) {
        _ = session.connection.receive(leg: Self.leg, packetNumber: numbers.far, payload: bytes.rawSpan, now: now)
        numbers.far += 1
        session.touch()
    }

    /// Ignores the event.
    public func event(_ event: ConnectionEvent, in session: Session) {}
    /// Does nothing.
    public func closed(_ session: Session) {}
}
