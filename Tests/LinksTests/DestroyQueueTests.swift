import Testing
import Wire

@testable import Links
@testable import Messages

/// DESTROY messages that find no room at once.
@Suite struct DestroyQueueTests {
    @Test(
        "s27: of a thousand paths that end in one turn the peer hears of every one, over a link that takes few at a time"
    )
    func thousandPaths() throws {
        let harness = try Harness()
        let near = try harness.node { $0.requestsPerLink = 16 }
        // The peer refuses most of what comes at once.
        let far = try harness.node {
            $0.messagesPerLink = 4
            $0.nodeMessages = (rate: 4_000, burst: 400)
        }
        let link = try harness.connect(near, far)
        let paths = Set(1...1_000 as ClosedRange<UInt64>)
        for path in paths { near.links.destroy(path, on: link.near) }
        var heard: Set<UInt64> = []
        far.onMessage = { side, message, body, responder in
            var reader = ByteReader(body.rawSpan)
            if message == .destroy, let path = try? reader.u64() { heard.insert(path) }
            side.links.answer(responder, [])
        }
        // Other messages find room meanwhile.
        var isAnswered = false
        near.links.request(on: link.near, TestMessage.getSnapshotID, body: [UInt8](repeating: 0, count: 8)) { _ in
            isAnswered = true
        }
        #expect(harness.run(for: .seconds(30)) { heard == paths })
        #expect(harness.run { isAnswered })
    }

    @Test("s27: what ends while a link is full of other messages is told when there is room") func fullLink() throws {
        let harness = try Harness()
        let near = try harness.node { $0.requestsPerLink = 16 }
        let far = try harness.node()
        let link = try harness.connect(near, far)
        var waiting: [ControlResponder] = []
        var heard: Set<UInt64> = []
        far.onMessage = { side, message, body, responder in
            var reader = ByteReader(body.rawSpan)
            guard message == .destroy, let path = try? reader.u64() else { return waiting.append(responder) }
            heard.insert(path)
            side.links.answer(responder, [])
        }
        let body = [UInt8](repeating: 0, count: 8)
        for _ in 0..<16 { near.links.request(on: link.near, TestMessage.getSnapshotID, body: body) { _ in } }
        for path in 1...5 as ClosedRange<UInt64> { near.links.destroy(path, on: link.near) }
        #expect(harness.run { waiting.count == 16 })
        #expect(heard.isEmpty)
        for responder in waiting { far.links.answer(responder, []) }
        #expect(harness.run { heard == Set(1...5) })
    }

    @Test("s27: the queue has a bound, rests after a refusal, and gives one up after four attempts")
    func bound() {
        let start = Instant(nanoseconds: 1_000_000_000)
        var queue = DestroyQueue()
        for path in 0..<5_000 as Range<UInt64> { queue.add(path, limit: 3_000) }
        #expect(queue.count == 3_000)
        var order: [UInt64] = []
        while order.count < 3_000, let entry = queue.next(at: start, limit: 64) {
            order.append(entry.pathID)
            queue.ended(entry, wasSent: true)
        }
        #expect(order == Array(0..<3_000))
        #expect(queue.count == 0 && queue.underWay == 0)

        queue.add(7, limit: 1)
        var now = start
        for _ in 0..<DestroyQueue.attempts {
            let entry = queue.next(at: now, limit: 1)
            #expect(entry?.pathID == 7)
            #expect(queue.next(at: now, limit: 1) == nil)
            if let entry {
                queue.ended(entry, wasSent: true)
                queue.addAgain(entry, at: now)
            }
            #expect(queue.next(at: now, limit: 1) == nil)
            now = now + DestroyQueue.pause
        }
        #expect(queue.count == 0)
    }
}
