import Onion
import OnionCrypto
import RequestsModel
import SeededRandom
import Testing
import Wire

@testable import Requests

@Suite struct ClientTests {
    private let done = RequestAnswer(.done, [5])

    @Test("RQ2: an answer ends a call; the next one of the purpose takes the same proxy and target")
    func rq2Answer() throws {
        var bench = ClientBench()
        let call = try bench.ask()
        #expect(bench.sent.isEmpty && bench.opened.count == 1)
        try bench.readyAll()
        #expect(bench.sent.count == 1)
        try bench.received(bench.sent[0].attempt, bench.answer(0, done))
        guard case .answered(let answer, _, _)? = bench.finished[call] else { throw Failure() }
        #expect(answer == done && bench.client.pending == 0)
        try bench.ask()
        #expect(bench.opened.count == 1 && bench.sent.count == 2)
        guard case .envelope(let one, let first) = bench.sent[0].open,
            case .envelope(let two, let second) = bench.sent[1].open
        else { throw Failure() }
        #expect(first == second && one != two, "one coordinator, sealed anew")
        // A session that is used lasts 15 minutes; then there is another.
        try bench.received(bench.sent[1].attempt, bench.answer(1, done))
        let began = bench.now
        for number in 1...14 {
            try bench.advance(.seconds(60))
            try bench.ask()
            try bench.received(bench.sent[1 + number].attempt, bench.answer(1 + number, done))
        }
        #expect(bench.opened.count == 1 && bench.closed.isEmpty)
        #expect(bench.client.nextDeadline == began + RequestClient.sessionLife)
        try bench.advance(.seconds(60))
        #expect(bench.closed == [bench.opened[0].session])
        try bench.ask()
        #expect(bench.opened.count == 2)
    }

    @Test("RQ2: hedge after 600 ms over another proxy to another target, give-up after 10 s")
    func rq2Hedge() throws {
        var bench = ClientBench()
        let call = try bench.ask()
        try bench.readyAll()
        try bench.advance(.milliseconds(599))
        #expect(bench.opened.count == 1)
        try bench.advance(.milliseconds(1))
        #expect(bench.opened.count == 2 && bench.opened[0].proxy != bench.opened[1].proxy)
        try bench.ready(bench.opened[1].session)
        guard case .envelope(_, let first) = bench.sent[0].open, case .envelope(_, let second) = bench.sent[1].open
        else { throw Failure() }
        #expect(first != second)
        for _ in 0..<94 { try bench.advance(.milliseconds(100)) }
        #expect(bench.finished[call] == .timedOut && bench.client.pending == 0 && bench.client.attempts.isEmpty)
        #expect(bench.opened.count <= 3, "three at once")
        // An answer that arrives now has no effect.
        try bench.received(bench.sent[0].attempt, bench.answer(0, done))
        #expect(bench.finished.count == 1)
    }

    @Test("RQ2: hedges follow the 95th percentile")
    func rq2Percentile() {
        var times = AnswerTimes()
        #expect(times.hedge(of: .bytes1024) == .milliseconds(600))
        for number in 1...100 { times.add(.milliseconds(Int64(number * 10)), of: .bytes1024) }
        // The last 64 times are 370 to 1,000 ms.
        #expect(times.hedge(of: .bytes1024) == .milliseconds(970 * 3 / 2))
        #expect(times.hedge(of: .bytes2304) == .milliseconds(600))
    }

    @Test("RQ2: each outer status leads to another proxy; altered answers too; a call ends as proxies said last")
    func rq2Statuses() throws {
        let words: [OuterAnswer?] = [
            nil, .unknownTarget, .noLink, .noAnswer, .tooMany, .unreadable, .busy(seconds: 200),
            .answer([UInt8](repeating: 1, count: 1_056)),
        ]
        for word in words {
            var bench = ClientBench()
            let call = try bench.ask()
            var answered = 0
            while bench.client.pending > 0, answered < 30 {
                try bench.readyAll()
                if answered < bench.sent.count {
                    try bench.received(bench.sent[answered].attempt, word)
                    answered += 1
                } else {
                    try bench.advance(.milliseconds(200))
                }
            }
            let proxies = bench.opened.map(\.proxy)
            #expect(Set(proxies).count == proxies.count, "no proxy twice")
            let hint = word.map(\.status)
            let expected: RequestClient.Outcome = hint == nil || hint == .answer ? .timedOut : .refused(hint ?? .later)
            #expect(bench.finished[call] == expected, "\(String(describing: hint))")
            #expect(answered >= 3 && bench.opened.count <= RequestClient.attemptsOfCall)
        }
    }

    @Test("RQ2: a proxy with two failures in a row is dropped")
    func rq2Dropped() throws {
        var bench = ClientBench()
        let one = ClientBench.call(ClientBench.box, targets: 0..<1)
        try bench.ask(one)
        try bench.ask(one)
        try bench.readyAll()
        #expect(bench.opened.count == 1 && bench.sent.count == 2)
        let (session, proxy) = bench.opened[0]
        try bench.received(bench.sent[0].attempt, .noAnswer)
        #expect(bench.closed.isEmpty)
        try bench.received(bench.sent[1].attempt, .noAnswer)
        #expect(bench.closed == [session])
        for number in 0..<100 {
            try bench.ask(ClientBench.call(.service(ClientBench.node(number).key), isolation: UInt64(number)))
        }
        #expect(bench.opened.dropFirst().allSatisfy { $0.proxy != proxy })
        // An answer between two failures resets the count.
        var other = ClientBench()
        for _ in 0..<3 { try other.ask(one) }
        try other.readyAll()
        #expect(other.opened.count == 1)
        try other.received(other.sent[0].attempt, .noAnswer)
        try other.received(other.sent[1].attempt, other.answer(1, done))
        try other.received(other.sent[2].attempt, .noAnswer)
        #expect(other.closed.isEmpty)
    }

    @Test("RQ8: a new key is taken once it is checked, once; another node's time never")
    func rq8NewKey() throws {
        var bench = ClientBench()
        let call = try bench.ask(ClientBench.call(ClientBench.box, targets: 0..<1))
        try bench.readyAll()
        try bench.received(bench.sent[0].attempt, .newKey([1]))
        #expect(bench.checks.count == 1 && bench.checks[0].target == ClientBench.node(0) && bench.sent.count == 1)
        // The new key is checked: the same attempt is sent again, with the new key.
        try bench.take(
            bench.client.keyChecked(bench.sent[0].attempt, pairs[3].publicKey, now: bench.now, time: bench.time))
        #expect(bench.sent.count == 2 && bench.sent[1].attempt == bench.sent[0].attempt)
        let answer = try bench.answer(1, RequestAnswer(.timeInvalid), pair: pairs[3])
        // A second new key is a failure.
        var other = bench
        try other.received(bench.sent[1].attempt, .newKey([2]))
        #expect(other.checks.count == 1 && other.opened.count == 2)
        try bench.received(bench.sent[1].attempt, answer)
        guard case .answered(let got, _, _)? = bench.finished[call] else { throw Failure() }
        #expect(got == RequestAnswer(.timeInvalid))
        // If the descriptor is not accepted, another proxy is asked.
        var forged = ClientBench()
        try forged.ask(ClientBench.call(ClientBench.box, targets: 0..<1))
        try forged.readyAll()
        try forged.received(forged.sent[0].attempt, .newKey([1]))
        try forged.take(forged.client.keyChecked(forged.sent[0].attempt, nil, now: forged.now, time: forged.time))
        #expect(forged.opened.count == 2 && forged.opened[1].proxy != forged.opened[0].proxy)
    }

    @Test("RQ8: what a target says of the client's time ends the call, and has no other effect")
    func rq8WrongTime() throws {
        for status in [RequestStatus.timeInvalid, .done] {
            var bench = ClientBench()
            let call = try bench.ask()
            try bench.readyAll()
            let answer = try bench.answer(0, RequestAnswer(status)).encoded(for: .stream)
            let actions = bench.client.received(bench.sent[0].attempt, answer, now: bench.now, time: bench.time)
            #expect(actions.count == 1)
            guard case .finished(call, .answered(let told, _, _))? = actions.first else { throw Failure() }
            #expect(told.status == status && bench.client.nextDeadline == bench.now + RequestClient.idleTime)
        }
    }

    @Test("RQ5: no session has two purposes, isolation keys or targets")
    func rq5Purposes() throws {
        var bench = ClientBench(nodes: 40)
        var random = SeededGenerator(seed: 7)
        var scopes: [UInt64: Set<RequestClient.Scope>] = [:]
        var targets: [UInt64: Set<NodeID>] = [:]
        for round in 0..<150 {
            let box = ClientBench.node(Int(random.next() % 12)).key
            let purpose: RequestClient.Purpose =
                switch random.next() % 3 {
                case 0: .box(box)
                case 1: .service(box)
                default: .introduction(service: box, node: ClientBench.node(Int(random.next() % 2)))
                }
            let call = ClientBench.call(purpose, isolation: random.next() % 3)
            let first = bench.sent.count
            try bench.ask(call)
            try bench.readyAll()
            for sent in bench.sent[first...] {
                guard case .envelope(_, let target) = sent.open else { throw Failure() }
                scopes[sent.session, default: []].insert(call.scope)
                targets[sent.session, default: []].insert(target)
                try bench.received(sent.attempt, random.happens(50) ? .unknownTarget : .noAnswer)
            }
            // Ends the rest of the call before the requests of the next call are told apart.
            for number in bench.client.calls.keys.sorted() {
                try bench.take(bench.client.cancel(number, now: bench.now))
            }
            if round % 20 == 0 { try bench.advance(.seconds(8_000)) }
        }
        #expect(scopes.count > 50 && scopes.values.allSatisfy { $0.count == 1 })
        #expect(targets.values.allSatisfy { $0.count == 1 })
        #expect(bench.client.pending == 0 && bench.client.sessions.count <= RequestClient.idleSessions)
    }

    @Test("RQ5: a proxy is drawn by weight; swarm, then operator give way; the target never")
    func rq5Draw() throws {
        var random = SeededGenerator(seed: 3)
        func node(_ number: Int, _ owner: Int, _ weight: UInt32 = 1) -> RequestNode {
            RequestNode(id: ClientBench.node(number), operatorID: ClientBench.node(owner).key, weight: weight)
        }
        func drawn(
            _ nodes: [RequestNode], _ swarm: Set<NodeID> = [], avoided: Set<NodeID> = [], missed: Set<NodeID> = []
        ) -> [NodeID: Int] {
            var counts: [NodeID: Int] = [:]
            for _ in 0..<2_000 {
                let found = ProxyChoice.draw(
                    from: nodes, target: ClientBench.node(0), swarm: swarm, avoided: { avoided.contains($0) },
                    missed: missed.contains, using: &random)
                if let found { counts[found, default: 0] += 1 }
            }
            return counts
        }
        let counts = drawn([node(0, 0, 1_000), node(1, 0, 1_000), node(2, 2, 3), node(3, 3, 1)])
        #expect(Set(counts.keys) == [ClientBench.node(2), ClientBench.node(3)])
        #expect((1_400...1_600).contains(counts[ClientBench.node(2)] ?? 0), "three in four")
        let small = [node(0, 0), node(1, 0), node(2, 2), node(3, 3)]
        #expect(Set(drawn(small, [ClientBench.node(2)]).keys) == [ClientBench.node(3)])
        #expect(
            Set(drawn(small, [ClientBench.node(2), ClientBench.node(3)]).keys) == [
                ClientBench.node(2), ClientBench.node(3),
            ])
        #expect(Set(drawn([node(0, 0), node(1, 0)]).keys) == [ClientBench.node(1)])
        #expect(drawn([node(0, 0)]).isEmpty && drawn([]).isEmpty)
        #expect(drawn(small, avoided: Set((1...3).map(ClientBench.node))).isEmpty, "avoided nodes never give way")
        #expect(Set(drawn(small, missed: [ClientBench.node(2)]).keys) == [ClientBench.node(3)])
        let outside = Set(drawn(small, [ClientBench.node(3)], missed: [ClientBench.node(2)]).keys)
        #expect(outside == [ClientBench.node(2)], "the swarm does not give way for those that were missed")
        #expect(
            Set(drawn([node(0, 0), node(5, 5, 0)]).keys) == [ClientBench.node(5)], "a weight of zero counts as one")
    }

    @Test("RQ2: without proxies, with a target's key that is none")
    func rq2NoWay() throws {
        var none = ClientBench(nodes: 1)
        let call = try none.ask(ClientBench.call(ClientBench.box, targets: 0..<1))
        #expect(none.finished[call] == .noProxy)
        var key = ClientBench()
        let bad = RequestClient.Call(
            scope: .init(isolation: 1, purpose: ClientBench.box), method: .lookup,
            targets: [.init(node: ClientBench.node(0), onionKey: [1, 2])]
        ) { _ in [] }
        let third = try key.ask(bad)
        try key.readyAll()
        #expect(key.finished[third] == .timedOut && key.client.pending == 0)
    }
}
