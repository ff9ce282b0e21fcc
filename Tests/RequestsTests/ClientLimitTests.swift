import Testing
import Wire

@testable import Requests

/// The limits of a client's calls and sessions, and the treatment of sessions that cannot be opened.
@Suite struct ClientLimitTests {
    private let done = RequestAnswer(.done, [5])

    @Test("RQ4: calls have a limit, and each isolation key its share")
    func rq4Calls() throws {
        var bench = ClientBench()
        for number in 0..<100 { try bench.ask(ClientBench.call(.service(ClientBench.node(number).key), isolation: 1)) }
        #expect(bench.client.pending == RequestClient.callsOfIsolation)
        for isolation in 2...6 {
            for _ in 0..<64 { try bench.ask(ClientBench.call(ClientBench.box, isolation: UInt64(isolation))) }
        }
        #expect(bench.client.pending == RequestClient.calls)
        let newcomer = try bench.ask(ClientBench.call(ClientBench.box, isolation: 99))
        #expect(bench.finished[newcomer] == nil && bench.client.pending == RequestClient.calls)
        try bench.advance(.seconds(10))
        #expect(bench.client.pending == 0 && bench.client.attempts.isEmpty)
    }

    @Test("RQ4: sessions that cannot be had cost no attempt: others are tried until 10 s are over, after pauses")
    func rq4Misses() throws {
        var bench = ClientBench()
        let call = try bench.ask()
        var tried: [NodeID] = []
        var at: [TimeSpan] = []
        let began = bench.now
        /// Ends each new session at once, before it is ready.
        func end() throws {
            while tried.count < bench.opened.count {
                let (session, proxy) = bench.opened[tried.count]
                tried.append(proxy)
                at.append(bench.now - began)
                try bench.take(bench.client.sessionEnded(session, now: bench.now, time: bench.time))
            }
        }
        try end()
        #expect(bench.finished.isEmpty && tried.count == 1, "no other in the same instant")
        while bench.now - began < .milliseconds(9_990) {
            try bench.advance(.milliseconds(10))
            try end()
        }
        #expect(bench.finished.isEmpty)
        #expect(at == [0, 250, 750, 1_750, 3_750, 5_750, 7_750, 9_750].map { .milliseconds($0) })
        #expect(Set(tried).count == tried.count, "no proxy twice, while there are others")
        // The call has used none of its attempts.
        var late = bench
        try late.advance(.milliseconds(10))
        #expect(late.finished[call] == .noProxy && late.client.sessions.isEmpty && late.client.attempts.isEmpty)
        // A lone proxy is tried again, and serves once its session is ready.
        var lone = ClientBench(nodes: 2)
        let second = try lone.ask(ClientBench.call(ClientBench.box, targets: 0..<1))
        try lone.take(lone.client.sessionEnded(lone.opened[0].session, now: lone.now, time: lone.time))
        #expect(lone.opened.count == 1 && lone.finished.isEmpty)
        try lone.advance(.milliseconds(250))
        #expect(lone.opened.map(\.proxy) == [ClientBench.node(1), ClientBench.node(1)])
        try lone.ready(lone.opened[1].session)
        try lone.received(lone.sent[0].attempt, lone.answer(0, done))
        guard case .answered = lone.finished[second] else { throw Failure() }
    }

    @Test("RQ4: a proxy whose session ends with a request is another's turn at once; the attempts have a limit")
    func rq4Lost() throws {
        var bench = ClientBench()
        let call = try bench.ask()
        var lost = 0
        while lost < bench.opened.count {
            let session = bench.opened[lost].session
            try bench.ready(session)
            lost += 1
            try bench.take(bench.client.sessionEnded(session, now: bench.now, time: bench.time))
        }
        #expect(lost == RequestClient.attemptsOfCall && bench.sent.count == lost && bench.cancelled.count == lost)
        #expect(Set(bench.opened.map(\.proxy)).count == lost)
        #expect(bench.finished[call] == .timedOut && bench.client.sessions.isEmpty)
    }

    @Test("RQ4: a session that nobody uses ends after 2 minutes, built or not; in all there are 576 at most")
    func rq4Sessions() throws {
        var bench = ClientBench()
        try bench.ask()
        try bench.readyAll()
        try bench.received(bench.sent[0].attempt, bench.answer(0, done))
        let abandoned = try bench.ask(ClientBench.call(.service(ClientBench.node(1).key)))
        try bench.take(bench.client.cancel(abandoned, now: bench.now))
        #expect(bench.opened.count == 2 && bench.client.nextDeadline == bench.now + .seconds(120))
        try bench.advance(.milliseconds(119_999))
        #expect(bench.closed.isEmpty)
        try bench.advance(.milliseconds(1))
        #expect(Set(bench.closed) == Set(bench.opened.map(\.session)) && bench.client.nextDeadline == nil)
        // The greatest number of calls, four times, some of them later than others; no session becomes ready.
        var many = ClientBench(nodes: 40)
        var most = 0
        for round in 0..<4 {
            for number in 0..<RequestClient.calls {
                if number == 100 { for _ in 0..<6 { try many.advance(.seconds(1)) } }
                let purpose = RequestClient.Purpose.service(ClientBench.node(number % 64).key)
                try many.ask(ClientBench.call(purpose, isolation: UInt64(round * 8 + number / 64)))
            }
            #expect(many.client.pending == RequestClient.calls)
            #expect(many.client.calls.values.allSatisfy { !$0.attempts.isEmpty }, "each has one session")
            for _ in 0..<10 {
                most = max(most, many.client.sessions.count)
                try many.advance(.seconds(1))
            }
            #expect(many.client.pending == 0 && many.client.sessions.count <= RequestClient.idleSessions)
        }
        #expect(most > RequestClient.sessionsForMore && most <= 576)
        try many.advance(.seconds(120))
        #expect(many.client.sessions.isEmpty && Set(many.closed).count == many.opened.count)
    }

    @Test("RQ4: a target that never answers makes a client drop all proxies, which others are still asked over")
    func rq4AllDropped() throws {
        var bench = ClientBench(nodes: 9)
        let dead = ClientBench.call(.state(ClientBench.node(0)), targets: 0..<1)
        for _ in 0..<2 {
            let call = try bench.ask(dead)
            while bench.finished[call] == nil {
                try bench.readyAll()
                for attempt in bench.client.attempts.keys.sorted() { try bench.received(attempt, .noLink) }
            }
        }
        #expect(Set(bench.opened.map(\.proxy)).count == 8, "all others were tried, and failed twice in a row")
        // The dead node is not a proxy for its own state.
        bench.client.nodes.removeFirst()
        let call = try bench.ask(ClientBench.call(.state(ClientBench.node(1)), targets: 1..<2))
        try bench.readyAll()
        let sent = try #require(bench.sent.indices.last)
        try bench.received(bench.sent[sent].attempt, bench.answer(sent, done))
        guard case .answered? = bench.finished[call] else { throw Failure() }
        // A proxy that brings an answer is no longer dropped, and its next pause is as short as the first.
        let served = try #require(bench.opened.last?.proxy)
        #expect(!bench.client.dropped.hasFailed(served))
        // Proxies that are not dropped come first.
        let fresh = ClientBench.node(100)
        bench.client.nodes.append(RequestNode(id: fresh, operatorID: fresh.key, weight: 1))
        try bench.ask(ClientBench.call(.state(ClientBench.node(2)), targets: 2..<3))
        #expect([fresh, served].contains(bench.opened.last?.proxy))
    }
}
