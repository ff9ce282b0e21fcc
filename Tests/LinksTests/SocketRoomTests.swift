import EventLoop
import Link
import Messages
import Testing
import Wire

@testable import Links

/// Links whose socket takes no packet for a while.
@Suite struct SocketRoomTests {
    @Test("R12: a message that found no room in its socket goes out soon after there is some")
    func message() throws {
        let harness = try Harness()
        let (node, client) = (try harness.node(), try harness.client())
        let link = try harness.connect(client, node)
        let host = try #require(harness.loop.host)
        host.isSendBlocked = true
        // Data packets take all places of the socket; no answer to them comes.
        for _ in 0..<600 { _ = client.send(on: link.near, pathID: 1, first: 0) }
        var answer: Result<[UInt8], ControlFailure>?
        client.links.request(on: link.near, TestMessage.getDescriptor, body: [1, 2]) { answer = $0 }
        let before = client.links.counters.drops[.notSendable]
        harness.run(for: .milliseconds(500)) { false }
        #expect(answer == nil)
        // It neither waits for something else to happen, nor tries in each turn of the loop.
        #expect((10...30).contains(client.links.counters.drops[.notSendable] - before))
        host.isSendBlocked = false
        #expect(harness.run(for: .milliseconds(40)) { answer != nil })
    }
}
