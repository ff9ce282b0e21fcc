import EventLoop
import Link
import Messages
import OnionCrypto
import Testing
import Wire

@testable import Links

/// How links live and end, over real sockets on one loop, with shorter intervals where one is waited for.
@Suite struct LifeTests {
    @Test("keys are renewed under traffic and no packet is lost", arguments: LinksTests.sizes)
    func rekey(_ size: Int) throws {
        let harness = try Harness(packetSize: size)
        func change(_ configuration: inout LinksConfiguration) {
            configuration.keys.rekeyAfter = .milliseconds(160)
            configuration.keys.overlap = .milliseconds(80)
            configuration.keys.keyLifetime = .seconds(5)
        }
        let node = try harness.node(change)
        let client = try harness.client(change)
        let link = try harness.connect(client, node)
        var sent = 0
        let isDone = harness.run {
            if sent - node.packets.count < 50 {
                #expect(client.send(on: link.near, pathID: 5, first: 1))
                #expect(node.send(on: link.far, pathID: 1 << 55 | 6, first: 2))
                sent += 1
            }
            return client.links.counters.rekeys >= 3 && node.links.counters.rekeys >= 3
        }
        #expect(isDone)
        #expect(harness.run { node.packets.count == sent && client.packets.count == sent })
        #expect(client.links.counters.drops.total == 0 && node.links.counters.drops.total == 0)
        // Old generations free their receiver indices.
        let count = node.links.withTable { $0.indices.count }
        #expect(count <= 4)
        #expect(client.downs.isEmpty && node.downs.isEmpty)
    }

    @Test("a link whose send key is over sends nothing, neither own packets nor others', and counts them")
    func sendKeyIsOver()
        throws
    {
        let harness = try Harness()
        let node = try harness.node()
        let client = try harness.client()
        let link = try harness.connect(client, node)
        node.forwardTo = link.far
        #expect(client.send(on: link.near, pathID: 5, first: 1))
        #expect(harness.run { client.packets.count == 1 })
        node.links.withTable { unsafe $0.entry(link.far).pointee.sending.sender.sendKey.retire() }
        let before = node.links.counters
        #expect(!node.send(on: link.far, pathID: 1 << 55 | 6, first: 2))
        for _ in 0..<3 { #expect(client.send(on: link.near, pathID: 5, first: 1)) }
        #expect(harness.run { node.packets.count == 4 })
        harness.run(for: .milliseconds(100)) { false }
        #expect(node.links.counters.drops[.notSendable] >= before.drops[.notSendable] + 4)
        #expect(node.links.counters.packetsSent == before.packetsSent)
        #expect(client.packets.count == 1)
        // Nothing can be sent any more, and no new keys are on their way: the link ends with the next look at it.
        let moment = node.links.now
        #expect(harness.run { !node.downs.isEmpty })
        #expect(node.downs[0] == (link.far, .keysExpired))
        #expect(node.links.now - moment < .seconds(2))
    }

    @Test("a link whose keys cannot be renewed is closed when they end") func keysExpire() throws {
        let harness = try Harness()
        let node = try harness.node { $0.keys.keyLifetime = .milliseconds(300) }
        let client = try harness.client {
            $0.keys.keyLifetime = .milliseconds(300)
            $0.keys.overlap = .milliseconds(100)
        }
        let link = try harness.connect(client, node)
        #expect(harness.run { !client.downs.isEmpty })
        #expect(client.downs[0] == (link.near, .keysExpired))
    }

    @Test(
        "a client's link moves with it, by challenge; messages go on",
        arguments: [
            SocketAddress.loopbackIPv4(port: 0), .loopbackIPv6(port: 0),
        ])
    func move(_ address: SocketAddress) throws {
        let harness = try Harness()
        let node = try harness.node { $0.listen = [address] }
        let client = try harness.client { $0.listen = [address] }
        let link = try harness.connect(client, node)
        let before = client.endpoint
        #expect(node.links.endpoint(of: link.far) == before)
        try client.links.rebind()
        #expect(client.endpoint != before)
        #expect(harness.run { node.links.endpoint(of: link.far) == client.endpoint })
        #expect(node.links.counters.moves == 1)
        var reply: Result<[UInt8], ControlFailure>?
        node.links.request(on: link.far, TestMessage.getDescriptor, body: [1, 2]) { reply = $0 }
        #expect(harness.run { reply != nil })
        #expect(reply == .success([2, 1]))
    }

    @Test("a link between nodes does not move") func nodesStay() throws {
        let harness = try Harness()
        let a = try harness.node()
        let b = try harness.node()
        let link = try harness.connect(a, b)
        let before = a.endpoint
        try a.links.rebind()
        for _ in 0..<20 { #expect(a.send(on: link.near, pathID: 5, first: 0)) }
        #expect(harness.run { b.packets.count == 20 })
        #expect(b.links.endpoint(of: link.far) == before)
        #expect(b.links.counters.moves == 0)
    }

    @Test("a peer that is gone is found dead in about a second under traffic") func dead() throws {
        let harness = try Harness()
        let node = try harness.node()
        let client = try harness.client()
        let link = try harness.connect(client, node)
        node.links.closeSockets()
        let start = client.links.now
        var reply: Result<[UInt8], ControlFailure>?
        client.links.request(on: link.near, TestMessage.getDescriptor, body: []) { reply = $0 }
        #expect(client.send(on: link.near, pathID: 5, first: 0))
        #expect(harness.run { !client.downs.isEmpty })
        #expect(client.downs[0] == (link.near, .dead))
        #expect(reply == .failure(.linkDown))
        #expect(client.links.now - start > .seconds(1))
        #expect(client.links.existingLink(to: node.nodeID) == nil)
        #expect(!client.send(on: link.near, pathID: 5, first: 0))
    }

    @Test("K7: closing tells the peer") func close() throws {
        let harness = try Harness()
        let node = try harness.node()
        let client = try harness.client()
        let link = try harness.connect(client, node)
        client.links.close(link.near)
        #expect(client.links.existingLink(to: node.nodeID) == nil)
        #expect(harness.run { !node.downs.isEmpty && !client.downs.isEmpty })
        #expect(node.downs[0] == (link.far, .closedByPeer))
        #expect(client.downs[0] == (link.near, .closedHere))
        #expect(harness.run { client.links.withTable { $0.count == 0 && $0.indices.count == 0 } })
        let counts = node.links.withTable { ($0.count, $0.indices.count) }
        #expect(counts == (0, 0))
    }

    @Test("K7: an end that is told of the close acknowledges it before it forgets the link, so it is not told again")
    func closeIsAcknowledged() throws {
        let harness = try Harness(isSimulated: false)
        let node = try harness.node()
        let rounds = 5
        for _ in 0..<rounds {
            let client = try harness.client()
            let link = try harness.connect(client, node)
            // Both directions have something to say, so that there is more to acknowledge than the close.
            client.links.send(on: link.near, TestMessage.publish, body: [1, 2, 3])
            node.links.request(on: link.far, TestMessage.getDescriptor, body: [1, 2]) { _ in }
            client.links.close(link.near)
            #expect(harness.run { client.links.withTable { $0.count == 0 } && node.links.withTable { $0.count == 0 } })
        }
        // A late timer may send one again; what comes after it was on its way before it.
        _ = try harness.connect(try harness.client(), node)
        #expect(node.links.counters.drops.total <= rounds)
    }

    @Test("K7: closing everything tells all peers and ends handshakes") func closeAll() throws {
        let harness = try Harness()
        let node = try harness.node()
        let a = try harness.client()
        let b = try harness.client()
        let first = try harness.connect(a, node)
        let second = try harness.connect(b, node)
        var result: Result<LinkID, LinkFailure>?
        var isClosed = false
        let nowhere = NodeID(SigningKey().publicKey)
        node.links.link(to: nowhere, at: [Endpoint(address: IPAddress(v4: 0x7f00_0001), port: 9)]) { result = $0 }
        #expect(harness.run { node.links.status.handshakes == 1 })
        node.links.closeAll { isClosed = true }
        #expect(harness.run { isClosed && !a.downs.isEmpty && !b.downs.isEmpty })
        #expect(a.downs[0] == (first.near, .closedByPeer))
        #expect(b.downs[0] == (second.near, .closedByPeer))
        #expect(result == .failure(.closing))
    }

    @Test("a link without paths closes when it is idle; one with a path does not") func idle() throws {
        let harness = try Harness()
        let node = try harness.node()
        let client = try harness.client { $0.clientIdle = .milliseconds(200) }
        let other = try harness.client { $0.clientIdle = .milliseconds(200) }
        let link = try harness.connect(client, node)
        let kept = try harness.connect(other, node)
        other.links.addPath(on: kept.near)
        #expect(harness.run { !client.downs.isEmpty })
        #expect(client.downs[0] == (link.near, .idle))
        #expect(harness.run { node.downs.contains { $0 == (link.far, .closedByPeer) } })
        #expect(other.downs.isEmpty)
        other.links.removePath(on: kept.near)
        #expect(harness.run { !other.downs.isEmpty })
    }

    @Test("more links than one sweep looks at: a message times out in time, and all links close when they are idle")
    func manyLinks() throws {
        let harness = try Harness()
        let node = try harness.node {
            $0.maximumLinks = 4_096
            $0.clientIdle = .seconds(100)
        }
        var links: [LinkID] = []
        for _ in 0..<300 {
            let client = try harness.client { $0.clientIdle = .seconds(1_000) }
            links.append(try harness.connect(client, node).far)
        }
        let silent = try #require(harness.sides.last)
        silent.onMessage = nil
        for timeout in [1, 3] as [Int64] {
            let began = harness.loop.now
            var isOver = false
            node.links.request(on: links[299], TestMessage.getSnapshotID, body: [], timeout: .seconds(timeout)) { _ in
                isOver = true
            }
            #expect(harness.run { isOver })
            let took = Instant(nanoseconds: harness.loop.now) - Instant(nanoseconds: began)
            #expect(took >= .seconds(timeout) && took < .seconds(timeout) + .milliseconds(50))
        }
        #expect(node.downs.count == 0)
        #expect(harness.run(for: .seconds(103)) { node.downs.count == 300 })
        #expect(node.downs.allSatisfy { $0.reason == .idle })
    }

    @Test("nodes that link to each other at once use the same link") func simultaneous() throws {
        let harness = try Harness()
        let a = try harness.node()
        let b = try harness.node()
        var results: [Result<LinkID, LinkFailure>] = []
        a.links.link(to: b.nodeID, at: [b.endpoint]) { results.append($0) }
        b.links.link(to: a.nodeID, at: [a.endpoint]) { results.append($0) }
        #expect(harness.run { results.count == 2 && !a.ups.isEmpty && !b.ups.isEmpty })
        #expect(
            harness.run(for: .milliseconds(300)) { a.ups.count == 2 && b.ups.count == 2 } || a.ups.count == b.ups.count)
        let near = try #require(a.links.existingLink(to: b.nodeID))
        let far = try #require(b.links.existingLink(to: a.nodeID))
        #expect(a.send(on: near, pathID: 9, first: 1))
        #expect(b.send(on: far, pathID: 9, first: 1))
        #expect(harness.run { a.packets.count == 1 && b.packets.count == 1 })
        let initiated = (a.links.find(near)?.isInitiator, b.links.find(far)?.isInitiator)
        #expect(initiated.0 != initiated.1)
        // A second request gives the link there is.
        var again: Result<LinkID, LinkFailure>?
        a.links.link(to: b.nodeID, at: [b.endpoint]) { again = $0 }
        #expect(harness.run { again != nil })
        #expect(again == .success(near))
    }
}

extension Links {
    /// Opens new sockets in place of the present ones, as if the network had changed; links stay and tell their peers.
    fileprivate func rebind() throws {
        closeSockets()
        try openSockets()
        for link in list.all where link.isOpen {
            link.exchange.ping()
            markDirty(link)
        }
    }
}
