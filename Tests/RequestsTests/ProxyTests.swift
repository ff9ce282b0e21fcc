import Testing
import Wire

@testable import Requests

private typealias Bench = ProxyBench

@Suite struct ProxyTests {
    private let sealed = OuterAnswer.answer([UInt8](repeating: 1, count: 1_056))

    @Test("RQ2: an answer by FORWARD, or by ANSWER, reaches its asker")
    func rq2Answers() throws {
        var bench = Bench()
        let one = try bench.ask(1)
        let two = try bench.ask(1)
        let first = bench.forwards[0]
        let second = bench.forwards[1]
        #expect(first.message.id != second.message.id && !first.message.isRelayed)
        try bench.take(bench.proxy.forwarded(first.ticket, .success(sealed.encoded(for: .forward)), now: bench.now))
        #expect(bench.answers == [one: sealed])
        try bench.take(
            bench.proxy.forwarded(second.ticket, .success(OuterAnswer.later.encoded(for: .forward)), now: bench.now))
        #expect(bench.answers[two] == nil)
        let body = AnswerMessage(id: second.message.id, answer: sealed).encoded()
        try bench.take(bench.proxy.answered(body, from: Bench.node(1), now: bench.now))
        #expect(bench.answers[two] == sealed && bench.proxy.pending == 0)
        // ANSWER may overtake the answer to FORWARD.
        let three = try bench.ask(1)
        let third = bench.forwards[2]
        let early = AnswerMessage(id: third.message.id, answer: sealed).encoded()
        try bench.take(bench.proxy.answered(early, from: Bench.node(1), now: bench.now))
        try bench.take(
            bench.proxy.forwarded(third.ticket, .success(OuterAnswer.later.encoded(for: .forward)), now: bench.now))
        #expect(bench.answers[three] == sealed && bench.proxy.counters.ignored == 1)
    }

    @Test("RQ6: ANSWER of a stranger, late, twice, malformed: ignored and counted")
    func rq6Strangers() throws {
        var bench = Bench()
        let asker = try bench.ask(1, to: 1)
        let forward = bench.forwards[0]
        let body = AnswerMessage(id: forward.message.id, answer: sealed).encoded()
        try bench.take(bench.proxy.answered(body, from: Bench.node(2), now: bench.now))
        let other = AnswerMessage(id: forward.message.id ^ 1, answer: sealed).encoded()
        try bench.take(bench.proxy.answered(other, from: Bench.node(1), now: bench.now))
        for length in [0, 8, 9, body.count - 1] {
            try bench.take(bench.proxy.answered(Array(body.prefix(length)), from: Bench.node(1), now: bench.now))
        }
        #expect(bench.answers.isEmpty && bench.proxy.counters.ignored == 6)
        try bench.take(bench.proxy.answered(body, from: Bench.node(1), now: bench.now))
        try bench.take(bench.proxy.answered(body, from: Bench.node(1), now: bench.now))
        #expect(bench.answers == [asker: sealed] && bench.proxy.counters.ignored == 7)
        let late = try bench.ask(1, to: 1)
        try bench.advance(.seconds(12))
        #expect(bench.answers[late] == .noAnswer)
        let after = AnswerMessage(id: bench.forwards[1].message.id, answer: sealed).encoded()
        try bench.take(bench.proxy.answered(after, from: Bench.node(1), now: bench.now))
        #expect(bench.proxy.counters.ignored == 8)
    }

    @Test("RQ4: no link in 3 s, a failed handshake for 30 s, no answer in 12 s, a link that ends")
    func rq4Times() throws {
        var bench = Bench()
        let dead = try bench.ask(1, hasLink: false)
        let same = try bench.ask(2, hasLink: false)
        #expect(bench.connects == [Bench.node(1)])
        try bench.advance(.milliseconds(2_999))
        #expect(bench.answers.isEmpty)
        try bench.advance(.milliseconds(1))
        #expect(bench.answers == [dead: .noLink, same: .noLink])
        #expect(bench.proxy.handshakes.isEmpty)
        let soon = try bench.ask(1, hasLink: false)
        #expect(bench.answers[soon] == .noLink && bench.connects.count == 1)
        try bench.advance(.seconds(30))
        let again = try bench.ask(1, hasLink: false)
        #expect(bench.connects.count == 2)
        try bench.take(bench.proxy.linkUp(Bench.node(1), now: bench.now))
        #expect(bench.forwards.count == 1)
        try bench.advance(.milliseconds(11_999))
        #expect(bench.answers[again] == nil)
        try bench.advance(.milliseconds(1))
        #expect(bench.answers[again] == .noAnswer)
        let failed = try bench.ask(1, to: 2, hasLink: false)
        try bench.take(bench.proxy.linkFailed(Bench.node(2), .unanswered, now: bench.now))
        #expect(bench.answers[failed] == .noLink)
        let ended = try bench.ask(1, to: 3)
        try bench.take(bench.proxy.linkEnded(Bench.node(3)))
        #expect(bench.answers[ended] == .noAnswer && bench.proxy.pending == 0)
        // Garbage in place of an answer.
        let garbage = try bench.ask(1, to: 3)
        try bench.take(bench.proxy.forwarded(bench.forwards.last?.ticket ?? 0, .success([9, 9]), now: bench.now))
        #expect(bench.answers[garbage] == .noAnswer && bench.proxy.pending == 0)
        try bench.advance(.seconds(15))
        #expect(bench.proxy.nextDeadline == nil)
    }

    @Test("RQ4: a session has 60 requests at once, 10 a second, 16 pending")
    func rq4Session() throws {
        var bench = Bench()
        for _ in 0..<20 { try bench.ask(1) }
        #expect(bench.proxy.pending == 16 && bench.answers.values.allSatisfy { $0 == .tooMany })
        try bench.ask(2)
        #expect(bench.proxy.pending == 17, "another session is not affected")
        bench.proxy.sessionEnded(1, over: Bench.link)
        #expect(bench.proxy.pending == 1)
        var taken = 0
        for _ in 0..<100 {
            let asker = try bench.ask(3)
            guard bench.answers[asker] == nil, let forward = bench.forwards.last else { continue }
            taken += 1
            try bench.take(
                bench.proxy.forwarded(forward.ticket, .success(sealed.encoded(for: .forward)), now: bench.now))
        }
        #expect(taken == 60)
        try bench.advance(.seconds(1))
        taken = 0
        for _ in 0..<20 {
            let asker = try bench.ask(3)
            if bench.answers[asker] == nil { taken += 1 }
        }
        #expect(taken == 10)
    }

    @Test("RQ4: the bytes of a session have a rate, both ways")
    func rq4Bytes() throws {
        var bench = Bench()
        let large = [UInt8](repeating: 1, count: RequestClass.bytes65792.envelopeSize)
        let answer = OuterAnswer.answer([UInt8](repeating: 1, count: RequestClass.bytes65792.answerSize))
        var good = 0
        for _ in 0..<40 {
            let asker = try bench.ask(1, envelope: large)
            if bench.answers[asker] == nil, let forward = bench.forwards.last {
                try bench.take(
                    bench.proxy.forwarded(forward.ticket, .success(answer.encoded(for: .forward)), now: bench.now))
            }
            if bench.answers[asker] == answer { good += 1 }
        }
        // 2 MiB at once are enough for 15 pairs of 133 kB.
        #expect(good == 15)
    }

    @Test("RQ4: in a full table the session with most loses its oldest; a newcomer has a place")
    func rq4Full() throws {
        var bench = Bench(places: 64)
        var flood: [UInt64] = []
        for session in 1...4 { for _ in 0..<16 { flood.append(try bench.ask(UInt64(session))) } }
        #expect(bench.proxy.pending == 64 && bench.answers.isEmpty)
        let newcomer = try bench.ask(9)
        #expect(bench.answers[newcomer] == nil && bench.answers.count == 1 && bench.proxy.pending == 64)
        #expect(bench.answers.first?.value == .tooMany)
        // With 64 sessions of one request each, the oldest gives way once it is a second old.
        var other = Bench(places: 64)
        for session in 1...64 { try other.ask(UInt64(session)) }
        let early = try other.ask(100)
        #expect(other.answers[early] == .tooMany, "all are young")
        try other.advance(.seconds(1))
        let later = try other.ask(101)
        #expect(other.answers[later] == nil && other.answers[1] == .tooMany && other.proxy.pending == 64)
        // Memory: large requests take more places.
        let large = [UInt8](repeating: 1, count: RequestClass.bytes65792.envelopeSize)
        for session in 200..<300 { try other.ask(UInt64(session), envelope: large) }
        #expect(other.proxy.places.count <= 64)
    }

    @Test("RQ3: sources take turns at a target: beside 99 sessions that flood it, one more is served")
    func rq3Turns() throws {
        var bench = Bench()
        var served: [UInt64: Int] = [:]
        var open: [(ticket: UInt64, at: Instant)] = []
        var (asked, answered) = (0, 0)
        // The target takes 100 ms for each request. Its 32 places allow 320 a second, so its rate decides.
        for step in 0..<2_000 {
            for session in 0..<99 { try bench.ask(UInt64(session)) }
            if step % 100 == 0 {
                try bench.ask(1_000)
                asked += 1
            }
            for forward in bench.forwards { open.append((forward.ticket, bench.now + .milliseconds(100))) }
            bench.forwards = []
            while let first = open.first, first.at <= bench.now {
                open.removeFirst()
                if let source = bench.proxy.entries[first.ticket]?.source { served[source.session, default: 0] += 1 }
                try bench.take(
                    bench.proxy.forwarded(first.ticket, .success(sealed.encoded(for: .forward)), now: bench.now))
            }
            #expect(bench.proxy.queues[Bench.node(1)]?.unanswered ?? 0 <= RequestLimits.unanswered)
            try bench.advance(.milliseconds(10))
            bench.answers = [:]
        }
        answered = served[1_000] ?? 0
        let total = served.values.reduce(0, +)
        #expect(answered >= asked - 1, "\(answered) of \(asked)")
        #expect((RequestLimits.forwardsPerNode * 19...RequestLimits.forwardsPerNode * 20 + 400).contains(total))
        // Each session gets at least half of an equal share.
        #expect((0..<99).allSatisfy { served[$0] ?? 0 > total / 200 })
    }

    @Test("RQ4: who has no turn in 3 s is told so; a queue whose link ends is told that")
    func rq4Queue() throws {
        var bench = Bench()
        for session in 0..<3 { for _ in 0..<16 { try bench.ask(UInt64(session)) } }
        #expect(bench.forwards.count == RequestLimits.unanswered && bench.answers.isEmpty)
        try bench.advance(.seconds(3))
        #expect(bench.answers.count == 16 && bench.answers.values.allSatisfy { $0 == .tooMany })
        let last = try bench.ask(7)
        try bench.take(bench.proxy.linkEnded(Bench.node(1)))
        #expect(bench.answers[last] == .noLink && bench.answers.values.count { $0 == .noAnswer } == 32)
        #expect(bench.proxy.pending == 0 && bench.proxy.queues.values.allSatisfy { $0.unanswered == 0 })
    }

    @Test(
        "RQ4: requests of a session that has ended keep their places at the target, which counts them until it answers")
    func rq4PlacesAtTarget() throws {
        var bench = Bench()
        for session in 10..<13 { for _ in 0..<16 { try bench.ask(UInt64(session)) } }
        #expect(bench.forwards.count == RequestLimits.unanswered)
        bench.proxy.sessionEnded(10, over: Bench.link)
        try bench.advance(.zero)
        #expect(bench.forwards.count == 32 && bench.proxy.pending == 32)
        // An answer to FORWARD, ANSWER after "later", a busy target, and a time-out give a place back each.
        let later = Result<[UInt8], ControlFailure>.success(OuterAnswer.later.encoded(for: .forward))
        let results: [Result<[UInt8], ControlFailure>] = [
            .success(sealed.encoded(for: .forward)), later,
            .success(OuterAnswer.busy(seconds: 1).encoded(for: .forward)),
            .failure(.timedOut),
        ]
        for (place, result) in results.enumerated() {
            try bench.take(bench.proxy.forwarded(bench.forwards[place].ticket, result, now: bench.now))
        }
        #expect(bench.forwards.count == 35 && bench.answers.isEmpty && bench.proxy.counters.ignored == 2)
        let answer = AnswerMessage(id: bench.forwards[1].message.id, answer: sealed).encoded()
        for _ in 0..<2 { try bench.take(bench.proxy.answered(answer, from: Bench.node(1), now: bench.now)) }
        #expect(bench.forwards.count == 36 && bench.answers.isEmpty && bench.proxy.counters.ignored == 4)
        // The other requests have 12 s.
        try bench.advance(.milliseconds(2_900))
        #expect(bench.forwards.count == 36)
        let more = try bench.ask(20)
        try bench.advance(.milliseconds(9_100))
        #expect(bench.answers[more] == .tooMany && bench.proxy.flights.isEmpty)
        let last = try bench.ask(21)
        #expect(bench.forwards.count == 37 && bench.answers[last] == nil)
        try bench.advance(.seconds(12))
        #expect(bench.proxy.flights.isEmpty && bench.proxy.asked.isEmpty && bench.proxy.pending == 0)
    }

    @Test("RQ4: handshakes: 16 of a session, 64 in all, and a newcomer has one")
    func rq4Handshakes() throws {
        var bench = Bench()
        for session in 0..<8 {
            for number in 0..<16 { try bench.ask(UInt64(session), to: 1 + session * 16 + number, hasLink: false) }
        }
        #expect(bench.proxy.handshakes.count == RequestLimits.handshakes)
        let newcomer = try bench.ask(99, to: 500, hasLink: false)
        #expect(bench.answers[newcomer] == nil && bench.connects.last == Bench.node(500))
        #expect(bench.proxy.handshakes.count == RequestLimits.handshakes)
        try bench.advance(.seconds(3))
        #expect(bench.proxy.handshakes.isEmpty && bench.proxy.handshakePlaces.count == 0 && bench.proxy.pending == 0)
    }

    @Test(
        "RQ4: where the proxy's own allowance of handshakes is used up, the request is turned away and the target does not rest"
    )
    func rq4OwnLimit() throws {
        var bench = Bench()
        for (fault, answer) in [(RequestProxy.LinkFault.limit, OuterAnswer.tooMany), (.unreachable, .noLink)] {
            for _ in 0..<3 {
                let asker = try bench.ask(1, hasLink: false)
                #expect(bench.answers[asker] == nil, "a handshake is begun each time")
                try bench.take(bench.proxy.linkFailed(Bench.node(1), fault, now: bench.now))
                #expect(bench.answers[asker] == answer)
            }
        }
        let silent = try bench.ask(1, hasLink: false)
        try bench.take(bench.proxy.linkFailed(Bench.node(1), .unanswered, now: bench.now))
        let soon = try bench.ask(1, hasLink: false)
        #expect(bench.answers[silent] == .noLink && bench.answers[soon] == .noLink && bench.connects.count == 7)
        // A link at its limit has not sent the message.
        for (failure, answer) in [(ControlFailure.limit, OuterAnswer.tooMany), (.refused, .noAnswer)] {
            let asker = try bench.ask(2, to: 2)
            let forward = try #require(bench.forwards.last)
            try bench.take(bench.proxy.forwarded(forward.ticket, .failure(failure), now: bench.now))
            #expect(bench.answers[asker] == answer)
        }
    }

    @Test(
        "RQ4: a handshake goes on and keeps its place when nobody waits for it: sessions that end make no room for more"
    )
    func rq4HandshakesGoOn() throws {
        var bench = Bench()
        for session in 0..<100 as Range<UInt64> {
            try bench.ask(session, to: 1 + Int(session), hasLink: false)
            bench.proxy.sessionEnded(session, over: Bench.link)
        }
        #expect(bench.proxy.pending == 0 && bench.connects.count == RequestLimits.handshakes)
        // A later request for one of these targets waits for the same handshake, and no longer than it may take.
        try bench.advance(.seconds(2))
        let late = try bench.ask(200, to: 1, hasLink: false)
        #expect(bench.connects.count == RequestLimits.handshakes && bench.answers[late] == nil)
        try bench.advance(.seconds(1))
        #expect(bench.answers[late] == .noLink && bench.proxy.handshakes.isEmpty)
    }

    @Test("RQ4: all sessions together have 2,000 requests a second")
    func rq4Rate() throws {
        var bench = Bench()
        var taken = 0
        for session in 0..<60 {
            for _ in 0..<60 {
                let asker = try bench.ask(UInt64(session), isNode: false)
                if bench.answers[asker] == .unknownTarget { taken += 1 }
            }
        }
        #expect(taken == RequestLimits.requestsPerSecond)
        try bench.advance(.seconds(1))
        let newcomer = try bench.ask(1_000, isNode: false)
        #expect(bench.answers[newcomer] == .unknownTarget)
    }

    @Test("RQ6: targets that are no nodes, or the proxy itself; requests that cannot be read")
    func rq6Refused() throws {
        var bench = Bench()
        let stranger = try bench.ask(1, isNode: false)
        let own = try bench.ask(1, to: 0)
        let unread = try bench.ask(nil, 1)
        #expect(bench.answers == [stranger: .unknownTarget, own: .unknownTarget, unread: .unreadable])
        // RELAY sets the relayed bit, and counts for the node that asks.
        let relay = RelayRequest(target: Bench.node(5), envelope: Bench.envelope)
        try bench.take(
            bench.proxy.relay(
                relay, asker: 77, for: Bench.node(8), target: .init(isNode: true, hasLink: true), now: bench.now))
        #expect(bench.forwards.last?.message.isRelayed == true)
        #expect(bench.proxy.places.places(of: .init(origin: .relay(Bench.node(8)), session: 0)) == 1)
    }

    @Test("RQ7: the terminal answers itself; RELAY and INTRODUCE it does not")
    func rq7Own() throws {
        var bench = Bench()
        let asker = try bench.ask(.own(method: 8, arguments: []), 1)
        #expect(bench.performs.map(\.method) == [.status])
        let answer = RequestAnswer(.done, [1, 2])
        try bench.take(bench.proxy.performed(bench.performs[0].ticket, answer, now: bench.now))
        try bench.take(bench.proxy.performed(bench.performs[0].ticket, answer, now: bench.now))
        #expect(bench.answers[asker] == .answer(answer.encoded()))
        let expected: [(UInt8, RequestStatus)] = [
            (5, .notAuthorised), (9, .notAuthorised), (7, .unknown), (0, .unknown),
        ]
        for (method, status) in expected {
            let asker = try bench.ask(.own(method: method, arguments: []), 1)
            #expect(bench.answers[asker] == .answer(RequestAnswer(status).encoded()))
        }
        let long = try bench.ask(.own(method: 10, arguments: []), 1)
        let result = RequestAnswer(.done, [UInt8](repeating: 0, count: 1 << 20))
        try bench.take(bench.proxy.performed(bench.performs[1].ticket, result, now: bench.now))
        #expect(bench.answers[long] == .answer(RequestAnswer(.full).encoded()))
        let stalled = try bench.ask(.own(method: 10, arguments: []), 1)
        try bench.advance(.seconds(15))
        #expect(bench.answers[stalled] == .noAnswer && bench.proxy.pending == 0)
    }
}
