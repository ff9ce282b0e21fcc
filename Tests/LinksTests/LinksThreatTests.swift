import EventLoop
import Link
import OnionCrypto
import Testing
import Transport
import Wire

@testable import Links

/// What strangers can cost a node's links.
@Suite struct LinksThreatTests {
    @Test("s08: a node that says it is the year 2554 moves nothing that traps") func clockLie() throws {
        let harness = try Harness()
        let victim = try harness.node()
        harness.wallClock = { .max }
        let liar = try harness.node()
        _ = try harness.connect(victim, liar)
        let error = try #require(victim.links.clockError)
        #expect(abs(error.inSeconds).isFinite)
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
