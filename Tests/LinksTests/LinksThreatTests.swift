import EventLoop
import Link
import OnionCrypto
import Testing
import Transport
import Wire

@testable import Links

/// What strangers can cost a node's links.
@Suite struct LinksThreatTests {
    private let network = LinkNetwork(id: Bytes32(copying: [UInt8](repeating: 7, count: 32).rawSpan))
    private let now = Instant(nanoseconds: 1_000_000_000_000)
    private let source = Endpoint(address: IPAddress(v4: 0xc000_0201), port: 4_000)

    /// What a responder says to `datagram`, in a word.
    private func answer(
        _ responder: inout LinkResponder, _ datagram: [UInt8], from source: Endpoint, isStaked: Bool = false
    ) -> (word: String, bytes: [UInt8]) {
        let verdict = responder.receive(datagram.rawSpan, from: source, now: now, isStaked: { _ in isStaked })
        switch consume verdict {
        case .drop(let reason): return ("\(reason)", [])
        case .cookie(let bytes): return ("cookie", bytes)
        case .accepted: return ("accepted", [])
        }
    }

    private func initiator(of responder: LinkIdentity, by identity: LinkIdentity? = nil) throws -> LinkInitiator {
        try LinkInitiator(
            network: network, responder: responder.nodeID, identity: identity, localIndex: 5_000, now: now)
    }

    /// The next initiation.
    private func initiation(_ initiator: inout LinkInitiator) -> [UInt8] {
        if case .send(let bytes) = initiator.poll(now: now, wallClock: 1_700_000_000_000_000_000) { return bytes }
        return []
    }

    @Test("R1: the first MAC is checked before anything else, and a cookie is good for its own address alone")
    func macAndCookie() throws {
        let identity = LinkIdentity(SigningKey())
        var responder = LinkResponder(network: network, identity: identity, now: now)
        var client = try initiator(of: identity)
        var spoiled = initiation(&client)
        let first = spoiled
        for byte in [4, 8, 100, network.packetSize - 33, network.packetSize - 17] {
            spoiled = first
            spoiled[byte] ^= 1
            #expect(answer(&responder, spoiled, from: source).word == "badMAC")
        }
        let cookie = answer(&responder, first, from: source)
        #expect(cookie.word == "cookie")
        guard case .cookie = client.receive(cookie.bytes.rawSpan, now: now) else {
            Issue.record("no cookie")
            return
        }
        let second = initiation(&client)
        let elsewhere = Endpoint(address: IPAddress(v4: 0xc000_0202), port: 4_000)
        #expect(answer(&responder, second, from: elsewhere).word == "cookie")
        #expect(answer(&responder, second, from: Endpoint(address: source.address, port: 4_001)).word == "cookie")
        #expect(answer(&responder, second, from: source).word == "accepted")
        #expect(answer(&responder, second, from: source).word == "replayedInitiation")
    }

    @Test("R1: one source that shows cookies has no more than its rate") func sourceRate() throws {
        let identity = LinkIdentity(SigningKey())
        var limits = LinkResponder.Limits()
        limits.sourceBurst = 5
        var responder = LinkResponder(network: network, identity: identity, limits: limits, now: now)
        var words: [String] = []
        for port in 0..<12 as Range<UInt16> {
            let here = Endpoint(address: source.address, port: 4_000 + port)
            var client = try initiator(of: identity)
            let cookie = answer(&responder, initiation(&client), from: here)
            _ = client.receive(cookie.bytes.rawSpan, now: now)
            words.append(answer(&responder, initiation(&client), from: here).word)
        }
        #expect(words == Array(repeating: "accepted", count: 5) + Array(repeating: "sourceLimit", count: 7))
    }

    @Test("R1: under load nodes need a cookie as well") func nodesUnderLoad() throws {
        let identity = LinkIdentity(SigningKey())
        var limits = LinkResponder.Limits()
        limits.loadThreshold = 10
        var responder = LinkResponder(network: network, identity: identity, limits: limits, now: now)
        var words: [String] = []
        for _ in 0..<15 {
            var node = try initiator(of: identity, by: LinkIdentity(SigningKey()))
            words.append(answer(&responder, initiation(&node), from: source, isStaked: true).word)
        }
        #expect(words == Array(repeating: "accepted", count: 10) + Array(repeating: "cookie", count: 5))
    }

    @Test("R2: what is sent without a proof is as long as what came, never longer", arguments: [1_232, 1_392, 1_452])
    func noAmplification(_ size: Int) throws {
        let network = LinkNetwork(id: network.id, packetSize: size)
        let identity = LinkIdentity(SigningKey())
        var limits = LinkResponder.Limits()
        limits.cookies = 3
        var responder = LinkResponder(network: network, identity: identity, limits: limits, now: now)
        var client = try LinkInitiator(
            network: network, responder: identity.nodeID, identity: nil, localIndex: 5_000, now: now)
        let first = initiation(&client)
        #expect(first.count == size)
        // A shorter one, which would be cheap to send, gets nothing.
        #expect(answer(&responder, Array(first.dropLast()), from: source).word == "wrongSize")
        for _ in 0..<3 { #expect(answer(&responder, first, from: source).bytes.count == size) }
        #expect(answer(&responder, first, from: source).word == "cookieLimit")
    }

    @Test("R5: when clients' links hold too much, the largest ends and the others stay") func memoryOfClients() throws {
        let harness = try Harness()
        let node = try harness.node {
            $0.maximumClientMemory = 400 << 10
            $0.answerMemory = 64 << 20
        }
        let honest = try harness.client()
        let greedy = try harness.client()
        let kept = try harness.connect(honest, node)
        let link = try harness.connect(greedy, node)
        // It asks for long answers and never acknowledges them.
        node.onMessage = { side, _, _, responder in
            side.links.answer(responder, [UInt8](repeating: 1, count: 1 << 20))
        }
        greedy.links.request(on: link.near, .getSnapshot, body: []) { _ in }
        #expect(harness.run { !node.messages.isEmpty || !node.downs.isEmpty })
        greedy.links.closeSockets()
        #expect(harness.run { !node.downs.isEmpty })
        #expect(node.downs.map(\.reason) == [.memory])
        #expect(node.downs.first?.link == link.far)
        #expect(node.links.peer(of: kept.far) == .client)
    }

    @Test("R5: an idle link holds little") func idleLink() throws {
        let harness = try Harness()
        let node = try harness.node()
        let client = try harness.client()
        let link = try harness.connect(client, node)
        let use = try #require(node.links.find(link.far)).memoryUse
        #expect(use < 16 << 10)
    }

    @Test("R7: a control message is refused as soon as it is longer than its type allows") func longMessages() throws {
        let harness = try Harness()
        let node = try harness.node()
        let client = try harness.client()
        let link = try harness.connect(client, node)
        for (type, count) in [(ControlMessage.build, 4_969), (.destroy, 9), (.getDescriptor, 33), (.publish, 262_145)] {
            let state = try #require(client.links.find(link.near))
            let stream = try state.connection.openStream()
            let bytes = [type.rawValue] + [UInt8](repeating: 0, count: count)
            var sent = 0
            // The stream is never finished: the length alone decides.
            let before = node.links.counters.messagesRefused
            let isRefused = harness.run {
                sent += state.connection.write(stream, bytes.rawSpan.extracting(sent..<bytes.count))
                client.links.markDirty(state)
                return node.links.counters.messagesRefused > before
            }
            #expect(isRefused)
            let far = try #require(node.links.find(link.far))
            #expect(far.incoming.isEmpty)
        }
        #expect(node.messages.isEmpty && node.downs.isEmpty)
    }
}
