import SeededRandom
import Testing
import Transport
import Wire

@testable import Messages

/// What the messages of a link's lanes hold.
@Suite struct IncomingMessagesTests {
    @Test("R7: the sums of a lane are those of its messages after any changes", arguments: (1...20).map(UInt64.init))
    func sums(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var messages = IncomingMessages()
        let kind = MessageKind(raw: 1, longestBody: 100, longestAnswer: 0)
        let lanes: [MessageLane] = [.usual, .builds, .requests]
        for _ in 0..<2_000 {
            let stream = StreamID(UInt64.random(in: 0..<40, using: &random))
            switch Int.random(in: 0..<6, using: &random) {
            case 0: messages[stream] = nil
            case 1: _ = messages.remove(stream)
            case let choice:
                var message = messages[stream] ?? .init(deadline: Instant(nanoseconds: 0))
                message.phase = [.arriving(nil), .arriving(kind), .queued(kind), .waiting][choice - 2]
                message.lane = lanes.randomElement(using: &random)!
                message.bytes = [UInt8](repeating: 0, count: Int.random(in: 0..<50, using: &random))
                messages[stream] = message
            }
            for lane in lanes {
                var expected = IncomingMessages.Use()
                for (_, message) in messages.all where message.lane == lane {
                    switch message.phase {
                    case .arriving(nil): break
                    case .arriving:
                        expected.count += 1
                        expected.unfinishedBytes += message.bytes.count
                    case .queued:
                        expected.count += 1
                        expected.unfinishedBytes += message.bytes.count
                        expected.queued += 1
                    case .waiting, .answering: expected.count += 1
                    }
                }
                #expect(messages.use(of: lane) == expected)
            }
            #expect(messages.hasQueued == lanes.contains { messages.use(of: $0).queued > 0 })
        }
    }
}
