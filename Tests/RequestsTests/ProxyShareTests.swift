import Link
import Testing
import Wire

@testable import Requests

private typealias Bench = ProxyBench

/// The shares of links and of their sessions in a proxy.
@Suite struct ProxyShareTests {
    private let sealed = OuterAnswer.answer([UInt8](repeating: 1, count: 1_056)).encoded(for: .forward)
    private static let other = LinkSource.node(Bench.node(901).key)

    /// An asker that asks again a second after a refusal.
    private struct Honest {
        let session: UInt64
        let link: LinkSource
        let began: Instant
        var asker: UInt64
        var again: Instant?
    }

    @Test(
        "RQ3: beside a link whose sessions flood a proxy and a target, another link is served at once, and so is a newcomer on that link",
        arguments: [1, 20, 1_000] as [UInt64])
    func rq3Links(flood: UInt64) throws {
        var bench = Bench()
        var waiting: [Honest] = []
        var (asked, served, longest) = (0, 0, TimeSpan.zero)
        for step in 0..<150 {
            // The target answers each request after 100 ms.
            let forwards = bench.forwards
            bench.forwards = []
            for forward in forwards {
                try bench.take(bench.proxy.forwarded(forward.ticket, .success(sealed), now: bench.now))
            }
            for session in 0..<flood where flood < 100 || session % 2 == UInt64(step) % 2 { try bench.ask(session) }
            // By now all sessions of the flood have had a turn; until then they are newcomers too.
            if step >= 100, step % 5 == 0 {
                // One session of another link asks again and again; on the flood's link each request has a new session.
                let newcomer = UInt64(10_000 + step)
                for (session, link) in [(9_999, Self.other), (newcomer, Bench.link)] {
                    let asker = try bench.ask(session, over: link)
                    waiting.append(Honest(session: session, link: link, began: bench.now, asker: asker))
                    asked += 1
                }
            }
            guard !waiting.isEmpty else {
                bench.answers = [:]
                try bench.advance(.milliseconds(100))
                continue
            }
            var left: [Honest] = []
            for var one in waiting {
                if let moment = one.again, moment <= bench.now {
                    one.asker = try bench.ask(one.session, over: one.link)
                    one.again = nil
                }
                switch bench.answers[one.asker] {
                case .answer:
                    served += 1
                    let limit = one.link == Self.other ? TimeSpan.milliseconds(500) : .seconds(5)
                    #expect(bench.now - one.began <= limit)
                    longest = max(longest, bench.now - one.began)
                    continue
                case nil: break
                default: if one.again == nil { one.again = bench.now + .seconds(1) }
                }
                longest = max(longest, bench.now - one.began)
                left.append(one)
            }
            waiting = left
            let open = Set(waiting.map(\.asker))
            bench.answers = bench.answers.filter { open.contains($0.key) }
            try bench.advance(.milliseconds(100))
        }
        #expect(longest <= .seconds(5))
        #expect(asked == 20 && served >= 16, "\(served) of \(asked)")
    }

    @Test(
        "RQ3: the places of pending requests and of handshakes go by link: one with many sessions leaves others theirs")
    func rq3Places() throws {
        var bench = Bench(places: 64)
        for session in 0..<64 as Range<UInt64> { try bench.ask(session) }
        let newcomer = try bench.ask(1, over: Self.other)
        #expect(bench.answers[newcomer] == nil && bench.answers.count == 1 && bench.proxy.pending == 64)
        // The other link gets up to half of the places; then its sessions give way to each other.
        for session in 2..<40 as Range<UInt64> { try bench.ask(session, over: Self.other) }
        let taken = bench.proxy.entries.values.count { $0.source.origin == .link(Self.other) }
        #expect(bench.proxy.pending == 64 && (31...32).contains(taken))

        var second = Bench()
        for session in 0..<64 as Range<UInt64> { try second.ask(session, to: 1 + Int(session), hasLink: false) }
        let late = try second.ask(200, to: 200, hasLink: false)
        #expect(second.answers[late] == .tooMany, "all handshakes of its link are young")
        let other = try second.ask(1, over: Self.other, to: 201, hasLink: false)
        #expect(second.answers[other] == nil && second.connects.last == Bench.node(201))
        try second.advance(.seconds(1))
        let again = try second.ask(201, to: 202, hasLink: false)
        #expect(second.answers[again] == nil && second.connects.last == Bench.node(202))
        #expect(second.proxy.handshakes.count == RequestLimits.handshakes)
    }

    @Test("RQ3: links have an equal part of the proxy's rate, and in it their sessions")
    func rq3Rate() throws {
        var bench = Bench()
        var taken: [UInt64: Int] = [:]
        for step in 0..<100 {
            for session in 0..<400 as Range<UInt64> {
                if try bench.answers[bench.ask(session, isNode: false)] == .unknownTarget { taken[0, default: 0] += 1 }
            }
            for session in 1_000..<1_020 as Range<UInt64> {
                let asker = try bench.ask(session, over: Self.other, isNode: false)
                if bench.answers[asker] == .unknownTarget { taken[session, default: 0] += 1 }
            }
            let newcomer = try bench.ask(2_000 + UInt64(step), isNode: false)
            if bench.answers[newcomer] == .unknownTarget { taken[1, default: 0] += 1 }
            bench.answers = [:]
            try bench.advance(.milliseconds(100))
        }
        // A session may ask 10 times a second.
        #expect((1_000..<1_020).allSatisfy { taken[$0] ?? 0 >= 95 }, "\(taken)")
        #expect(taken[1] ?? 0 >= 95, "\(taken)")
    }

    @Test("A turn goes to each link, in it to each session, and to a newcomer between two others")
    func turns() {
        var turns = RequestTurns()
        func source(_ link: Int, _ session: UInt64) -> RequestProxy.Source {
            .init(origin: .link(.node(Bench.node(link).key)), session: session)
        }
        for ticket in 0..<3 as Range<UInt64> {
            for session in 1...3 as ClosedRange<UInt64> {
                turns.append(session * 10 + ticket, of: source(1, session), isNew: false)
            }
        }
        turns.append(90, of: source(2, 9), isNew: false)
        turns.append(50, of: source(1, 5), isNew: true)
        turns.append(60, of: source(1, 6), isNew: true)
        turns.remove(20, of: source(1, 2))
        turns.remove(20, of: source(1, 2))
        turns.remove(60, of: source(1, 6))
        #expect(turns.count == 10)
        var order: [UInt64] = []
        while let ticket = turns.next() { order.append(ticket) }
        #expect(order == [50, 90, 10, 21, 30, 11, 22, 31, 12, 32] && turns.isEmpty)
    }

    @Test("RQ4: a flooder that begins a handshake does not end the requests of other links that wait for it")
    func rq4HandshakesAreShared() throws {
        var bench = Bench()
        for number in 0..<RequestLimits.handshakes {
            try bench.ask(UInt64(number / 16), to: 1 + number, hasLink: false)
        }
        // A session of another link waits for each of the first sixteen handshakes.
        let honest = try (0..<16).map { try bench.ask(500, over: Self.other, to: 1 + $0, hasLink: false) }
        let own = try bench.ask(501, to: 1, hasLink: false)
        // Newcomers of a third link take places from the flooder.
        let third = LinkSource.node(Bench.node(902).key)
        let newcomers = try (0..<20).map {
            try bench.ask(600 + UInt64($0 / 10), over: third, to: 200 + $0, hasLink: false)
        }
        #expect(honest.allSatisfy { bench.answers[$0] == nil })
        #expect(newcomers.allSatisfy { bench.answers[$0] == nil })
        #expect(bench.answers[own] == .tooMany)
        #expect(bench.proxy.handshakes.count == RequestLimits.handshakes)
        #expect(bench.proxy.handshakePlaces.count == RequestLimits.handshakes)
        for number in 0..<16 { try bench.take(bench.proxy.linkUp(Bench.node(1 + number), now: bench.now)) }
        #expect(bench.forwards.count >= 16 && honest.allSatisfy { bench.answers[$0] == nil })
        try bench.advance(.seconds(3))
        #expect(bench.proxy.handshakes.isEmpty && bench.proxy.handshakePlaces.count == 0)
    }
}
