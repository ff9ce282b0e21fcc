import Link
import Testing
import Wire

@testable import Requests

/// Requests that have not arrived whole.
@Suite struct ArrivalsTests {
    private let now = Instant(nanoseconds: 1_000_000_000_000)
    private let size = RequestOpen.maximumSize

    private func link(_ number: Int) -> LinkSource { .node(ProxyBench.node(number).key) }

    @Test("RQ4: what has come of requests has a bound in all and for each session, and links have equal shares")
    func rq4Arrivals() {
        var arrivals = RequestArrivals()
        var number: UInt64 = 0
        var open: Set<UInt64> = []
        func hold(_ number: UInt64, _ bytes: Int, _ session: UInt64, _ link: Int) -> [UInt64] {
            open.insert(number)
            let losers = arrivals.hold(number, bytes, of: session, over: self.link(link), now: now)
            for loser in losers { #expect(open.remove(loser) != nil, "each is lost once") }
            return losers
        }
        func begin(_ session: UInt64, _ link: Int) -> [UInt64] {
            number += 1
            return hold(number, size, session, link)
        }
        // A session may hold 16 whole requests; the next one is lost.
        for _ in 0..<16 { #expect(begin(1, 1).isEmpty) }
        #expect(begin(1, 1) == [17] && arrivals.count == 16 && arrivals.lost == 1)
        // The session may hold no more, but a request that ends makes room.
        arrivals.end(1)
        open.remove(1)
        #expect(begin(1, 1).isEmpty)
        // Many sessions of one link: 32 MiB in all.
        for session in 2..<100 as Range<UInt64> { for _ in 0..<16 { _ = begin(session, 1) } }
        #expect(arrivals.bytes <= 32 << 20 && arrivals.bytes > 31 << 20 && arrivals.count == open.count)
        // Another link may take half of the bytes, and loses no request before that.
        let lost = arrivals.lost
        for session in 0..<15 as Range<UInt64> {
            for _ in 0..<15 {
                let losers = begin(200 + session, 2)
                #expect(losers.allSatisfy { $0 < number } && !losers.isEmpty)
            }
        }
        #expect(arrivals.lost > lost && arrivals.bytes <= 32 << 20 && arrivals.count == open.count)
        // A growing request counts with its present size.
        for _ in 0..<3 { number += 1 }
        var grown = 0
        for bytes in stride(from: 1, through: size, by: 1_000) { grown += hold(number, bytes, 300, 3).count }
        #expect(grown > 0 && open.contains(number) && arrivals.bytes <= 32 << 20)
        for number in open { arrivals.end(number) }
        #expect(arrivals.bytes == 0 && arrivals.count == 0)
    }
}
