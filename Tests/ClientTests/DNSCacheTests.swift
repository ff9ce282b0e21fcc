import DNSProtocol
import Testing
import Wire

@testable import Client

/// Answers that a DNS port keeps.
@Suite struct DNSCacheTests {
    private let question = DNSQuestion(name: HostName("a.example.org")!, type: .a)

    private func at(_ seconds: Double) -> Instant { Instant(nanoseconds: UInt64(seconds * 1e9)) }

    @Test("L3: an answer does not tell how long ago somebody asked for the name")
    func l3AnswersTellNoTime() {
        var cache = DNSCache()
        let record = RecordsReply.Record(timeToLive: 200, data: [10, 1, 2, 3])
        let first = cache.keep(.found([record]), to: question, now: at(0))
        #expect(first == .found([record]))
        #expect(cache.answer(to: question, now: at(100)) == first)
        #expect(cache.answer(to: question, now: at(199.9)) == first)
        #expect(cache.answer(to: question, now: at(200)) == nil)
    }
}
