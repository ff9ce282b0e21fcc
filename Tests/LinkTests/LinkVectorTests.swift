import LinkModel
import Testing
import VectorFiles
import Wire

@testable import Link
@testable import OnionCrypto

/// The vectors that an independent model computes from protocol.md: handshakes, cookies, packets and rekeys, byte for
/// byte.
@Suite struct LinkVectorTests {
    static let suites: [(String, Suite)] = [("link1", .aes256gcm), ("link2", .chacha20poly1305)]
    private static let size = 1_232

    private static func keys(_ bytes: [UInt8]) -> SplitKeys {
        let first = [UInt8](bytes.prefix(32))
        let second = [UInt8](bytes.suffix(32))
        return SplitKeys(initiator: Secret(copying: first.rawSpan), responder: Secret(copying: second.rawSpan))
    }

    private static func bytes(of keys: borrowing SplitKeys) -> [UInt8] {
        [UInt8](copying: keys.initiator.bytes) + [UInt8](copying: keys.responder.bytes)
    }

    @Test(arguments: suites, [true, false]) func handshakes(file name: (String, Suite), isNode: Bool) throws {
        let file = try VectorFile(name.0)
        let network = LinkNetwork(id: try file.bytes32("in.network"), packetSize: Self.size)
        let responder = LinkIdentity(SigningKey(seed: try file.secret("in.responder")))
        let initiator = isNode ? LinkIdentity(SigningKey(seed: try file.secret("in.initiator"))) : nil
        #expect(responder.nodeID == (try file.bytes32("responder id")))
        let kind: HandshakeKind = isNode ? .nodeInitiation : .clientInitiation
        let prologue = network.prologue(kind, responder: responder.nodeID)
        let label = isNode ? "node" : "client"

        var payload = ByteWriter()
        payload.u8(3)
        payload.u8(0)
        payload.u64(isNode ? 1_800_000_000_123_456_789 : 0)
        if let initiator { payload.bytes32(initiator.nodeID) }
        payload.zeros(Self.size - 40 - kind.pattern.firstOverhead - payload.bytes.count)
        var first = NoiseHandshake(
            initiator: kind.pattern, prologue: prologue.rawSpan, identity: initiator, remoteStatic: responder.linkKey,
            ephemeral: AgreementKey(try file.secret("in.initiator ephemeral")))
        var message = ByteWriter()
        message.u32(kind.rawValue)
        message.u32(0x1234)
        message.raw(try first.writeFirst(payload.bytes.rawSpan))
        message.raw(Blake2b.mac16(key: network.macKey(of: responder.nodeID).bytes, message.bytes.rawSpan))
        let cookie = try file("cookie")
        message.raw(Blake2b.mac16(key: cookie.rawSpan, message.bytes.rawSpan))
        let initiation = try file("\(label) initiation")
        #expect(message.bytes == initiation)

        var second = NoiseHandshake(
            responder: kind.pattern, prologue: prologue.rawSpan, identity: responder,
            ephemeral: AgreementKey(try file.secret("in.responder ephemeral")))
        let read = try second.readFirst(initiation.rawSpan.extracting(8..<Self.size - 32))
        #expect(read == payload.bytes)
        payload = ByteWriter()
        payload.u8(name.1.rawValue)
        payload.u8(0)
        payload.u64(1_800_000_123)
        payload.zeros(Self.size - 12 - NoisePattern.secondOverhead - 10)
        let written = try second.writeSecond(payload.bytes.rawSpan)
        message = ByteWriter()
        message.u32(3)
        message.u32(0x5678)
        message.u32(0x1234)
        message.raw(written.bytes)
        let response = try file("\(label) response")
        #expect(message.bytes == response)
        #expect(Self.bytes(of: written.keys) == (try file("\(label) keys")))
        let finished = try first.readSecond(response.rawSpan.extracting(12..<Self.size))
        #expect(Self.bytes(of: finished.keys) == (try file("\(label) keys")))
    }

    /// The whole responder accepts the model's initiation of a node.
    @Test(arguments: suites) func theResponderAcceptsTheModelsNode(file name: (String, Suite)) throws {
        let file = try VectorFile(name.0)
        let now = Instant(nanoseconds: 1)
        var responder = LinkResponder(
            network: LinkNetwork(id: try file.bytes32("in.network"), packetSize: Self.size),
            identity: LinkIdentity(SigningKey(seed: try file.secret("in.responder"))), now: now)
        let initiator = try file.bytes32("initiator id")
        let datagram = try file("node initiation")
        let source = Endpoint(address: IPAddress(v4: 0xc000_0207), port: 40_000)
        let outcome = responder.receive(
            datagram.rawSpan, from: source, now: now, wallClock: .max, isStaked: { $0 == initiator })
        switch consume outcome {
        case .accepted(let initiation): #expect(initiation.peer == initiator)
        case .drop(let reason): Issue.record("dropped: \(reason)")
        case .cookie: Issue.record("a cookie")
        }
    }

    @Test(arguments: suites) func cookies(file name: (String, Suite)) throws {
        let file = try VectorFile(name.0)
        let network = LinkNetwork(id: try file.bytes32("in.network"), packetSize: Self.size)
        let mac1 = [UInt8](try file("node initiation").suffix(32).prefix(16))
        let cookie = try file("cookie")
        let nonce = try file("in.cookie nonce")
        let sealed = XChaCha20Poly1305.seal(
            cookie.rawSpan, associated: mac1.rawSpan, nonce: nonce.rawSpan,
            key: network.cookieKey(of: try file.bytes32("responder id")))
        #expect(sealed == (try file("sealed cookie")))
    }

    @Test(arguments: suites.filter(\.1.isAvailable)) func packetsAndRekeys(file name: (String, Suite)) throws {
        let file = try VectorFile(name.0)
        let network = LinkNetwork(id: try file.bytes32("in.network"), packetSize: Self.size)
        let now = Instant(nanoseconds: 1)
        for isInitiator in [true, false] {
            let side = isInitiator ? "initiator" : "responder"
            let local: UInt32 = isInitiator ? 0x1234 : 0x5678
            let remote: UInt32 = isInitiator ? 0x5678 : 0x1234
            let keys = Self.keys(try file("node keys"))
            var ring = LinkEnd(
                LinkKeyring(
                    keys, network: network, isInitiator: isInitiator, suite: name.1, remoteIndex: remote, now: now),
                LinkReceiver(
                    ReceivingKeys(keys, isInitiator: isInitiator, suite: name.1, localIndex: local, now: now),
                    controlStart: keys.controlStart(ofInitiator: !isInitiator)))
            var packet = [UInt8](repeating: 0, count: 132) + (0..<1_100).map { UInt8(truncatingIfNeeded: 9 + 3 * $0) }
            var span = packet.mutableRawSpan
            span.pathID = 0x0123_4567_89ab_cdef
            check(ring.sealHeader(&span))
            #expect(packet == (try file("\(side) packet")))
            packet = [UInt8](repeating: 0, count: 132) + (0..<1_100).map { UInt8(truncatingIfNeeded: 10 + 3 * $0) }
            span = packet.mutableRawSpan
            check(ring.sealControl(&span))
            #expect(packet == (try file("\(side) control")))
        }

        let psk = SendingKeys(
            Self.keys(try file("node keys")), isInitiator: true, suite: name.1, remoteIndex: 257, now: now)
        let prologue = network.rekeyPrologue
        var first = NoiseHandshake(
            initiator: .nnPSK0, prologue: prologue.rawSpan, psk: psk.takeRekeySecret(),
            ephemeral: AgreementKey(try file.secret("in.rekey ephemeral")))
        var second = NoiseHandshake(
            responder: .nnPSK0, prologue: prologue.rawSpan, psk: psk.takeRekeySecret(),
            ephemeral: AgreementKey(try file.secret("in.rekey answer")))
        let body = try file("rekey")
        let message = try first.writeFirst(RawSpan())
        #expect([0x77, 7, 0, 0] + message == body)
        _ = try second.readFirst(message.rawSpan)
        let written = try second.writeSecond(RawSpan())
        #expect([0x88, 8, 0, 0] + written.bytes == (try file("rekey answer")))
        #expect(Self.bytes(of: written.keys) == (try file("rekey keys")))
    }
}
