import EventLoop
import Link
import OnionCrypto
import Testing
import Wire

@testable import Links

/// Links over real sockets on one loop.
@Suite struct LinksTests {
    static let sizes = [Packet.minimumSize, Packet.defaultSize]

    @Test("a client links to a node, with a cookie, and takes its time", arguments: sizes)
    func clientToNode(_ size: Int) throws {
        let harness = try Harness(packetSize: size)
        let node = try harness.node()
        let client = try harness.client()
        let link = try harness.connect(client, node)
        #expect(node.links.counters.cookiesSent == 1)
        #expect(client.links.peer(of: link.near) == .node(node.nodeID))
        #expect(node.links.peer(of: link.far) == .client)
        #expect(client.links.timeSources == 1)
        #expect(client.links.existingLink(to: node.nodeID) == link.near)
        #expect(node.links.status.clients == 1 && node.links.status.halfOpen == 0)
    }

    @Test("of nodes whose operators are known each operator has one opinion of the time, and other nodes have none")
    func operatorsOfTimes() throws {
        let harness = try Harness()
        let client = try harness.client()
        let nodes = try (0..<4).map { _ in try harness.node() }
        let (mine, other) = (nodes[0].nodeID.key, nodes[2].nodeID.key)
        client.links.setOperators([nodes[0].nodeID: mine, nodes[1].nodeID: mine, nodes[2].nodeID: other])
        var sources: [Int] = []
        for node in [nodes[3], nodes[0], nodes[1], nodes[2]] {
            _ = try harness.connect(client, node)
            sources.append(client.links.timeSources)
        }
        #expect(sources == [0, 1, 1, 2])
    }

    @Test("a staked node links to a node without a cookie; one that is not staked does not", arguments: sizes)
    func nodeToNode(_ size: Int) throws {
        let harness = try Harness(packetSize: size)
        let a = try harness.node()
        let b = try harness.node()
        let link = try harness.connect(a, b)
        #expect(b.links.counters.cookiesSent == 0)
        #expect(b.links.peer(of: link.far) == .node(a.nodeID))
        #expect(b.links.existingLink(to: a.nodeID) == link.far)
        // Whoever began it, each has the other's time.
        #expect(a.links.timeSources == 1 && b.links.timeSources == 1)

        let stranger = try harness.node(staked: false) { $0.initiator.total = .milliseconds(300) }
        var result: Result<LinkID, LinkFailure>?
        stranger.links.link(to: b.nodeID, at: [b.endpoint]) { result = $0 }
        #expect(harness.run { result != nil })
        #expect(result == .failure(.noAnswer))
        #expect(b.links.counters.drops[.notStaked] >= 1)
    }

    @Test("a node that knows that it is not staked links as a client does")
    func unstakedNodeIsAClient() throws {
        let harness = try Harness(packetSize: 1_392)
        let newcomer = try harness.node(staked: false, knows: false)
        let b = try harness.node()
        let link = try harness.connect(newcomer, b)
        #expect(b.links.peer(of: link.far) == .client)
        #expect(newcomer.links.peer(of: link.near) == .node(b.nodeID))
    }

    @Test("messages of 1 byte and 200 kB go both ways", arguments: sizes)
    func messages(_ size: Int) throws {
        let harness = try Harness(packetSize: size)
        let node = try harness.node()
        let client = try harness.client()
        let link = try harness.connect(client, node)
        for (side, id) in [(client, link.near), (node, link.far)] {
            for count in [1, 200_000] {
                let other = side === client ? node : client
                other.onMessage = { side, _, body, responder in
                    #expect(body.count == count)
                    side.links.answer(responder, Array(body.reversed()))
                }
                let body = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
                var reply: Result<[UInt8], ControlFailure>?
                // PUBLISH takes a long body, GET_SNAPSHOT a long answer: use each for what it is for.
                side.links.request(on: id, TestMessage.publish, body: body) { reply = $0 }
                #expect(harness.run { other.messages.contains { $0.body == body } })
                #expect(harness.run { reply != nil })
                // The answer to PUBLISH is empty: anything else is refused.
                #expect(reply == .failure(.refused))

                other.onMessage = { side, _, _, responder in side.links.answer(responder, body) }
                reply = nil
                side.links.request(on: id, TestMessage.getSnapshot, body: [UInt8](repeating: 0, count: 8)) {
                    reply = $0
                }
                #expect(harness.run { reply != nil })
                #expect(reply == .success(body))
            }
        }
    }

    @Test("data packets go from one link to another in place") func forwarding() throws {
        let harness = try Harness()
        let a = try harness.node()
        let b = try harness.node()
        let client = try harness.client()
        let first = try harness.connect(client, a)
        let second = try harness.connect(a, b)
        a.forwardTo = second.near
        for number in 0..<100 { #expect(client.send(on: first.near, pathID: 77, first: UInt8(number))) }
        #expect(harness.run { b.packets.count == 100 })
        #expect(b.packets.map(\.first) == (0..<100).map { UInt8($0) })
        #expect(a.packets.allSatisfy { $0.pathID == 77 })
    }

    @Test("Beyond the ceiling nothing is received, from the batch on that reaches it, until the ceiling is raised")
    func sendCeiling() throws {
        let harness = try Harness()
        let (first, middle, last) = (try harness.node(), try harness.node(), try harness.node())
        let near = try harness.connect(first, middle).near
        middle.forwardTo = try harness.connect(middle, last).near

        middle.links.sendCeiling = middle.links.counters.packetsSent
        #expect(!middle.links.maySend)
        for number in 0..<3 { #expect(first.send(on: near, pathID: 5, first: UInt8(number))) }
        harness.run(for: .milliseconds(100)) { !middle.packets.isEmpty }
        #expect(middle.packets.isEmpty)

        middle.links.sendCeiling = middle.links.counters.packetsSent + 3
        #expect(harness.run { last.packets.map(\.first) == [0, 1, 2] })
        #expect(!middle.links.maySend && middle.links.sockets.isReceivePaused)
        #expect(first.send(on: near, pathID: 5, first: 3))
        harness.run(for: .milliseconds(100)) { middle.packets.count > 3 }
        #expect(middle.packets.count == 3)

        middle.links.sendCeiling = .max
        #expect(harness.run { last.packets.count == 4 })
    }

    @Test("V7: a link that is there is told of later, not inside of the call") func laterEvenIfUp() throws {
        let harness = try Harness(packetSize: 1_392)
        let node = try harness.node()
        let client = try harness.client()
        let link = try harness.connect(client, node)
        var found: [LinkID?] = []
        client.links.link(to: node.nodeID, at: [node.endpoint], limit: .seconds(5)) { found.append($0) }
        #expect(found.isEmpty)
        #expect(harness.run { !found.isEmpty })
        #expect(found == [link.near])
    }
}
