import Onion
import OnionCrypto
import RequestsModel
import Testing
import Wire

@testable import Requests

private let pairs: [KEM.PrivateKey] = (1...4 as ClosedRange<UInt8>).compactMap {
    try? KEM.PrivateKey(seed: [UInt8](repeating: $0, count: 32))
}

/// A client; the test plays proxies and targets.
private struct Bench {
    var client: RequestClient
    var now = Instant(nanoseconds: 1_000_000_000_000)
    let time = UnixTime(seconds: 1_800_000_030)
    var opened: [(session: UInt64, proxy: NodeID)] = []
    var closed: [UInt64] = []
    var sent: [(attempt: UInt64, session: UInt64, open: RequestOpen)] = []
    var cancelled: [UInt64] = []
    var checks: [(attempt: UInt64, target: NodeID)] = []
    var finished: [UInt64: RequestClient.Outcome] = [:]

    init(nodes: Int = 20) {
        client = RequestClient(network: RequestNetwork.network, random: Seeded(1))
        client.nodes = (0..<nodes).map {
            RequestNode(id: Bench.node($0), operatorID: Bench.node($0).key, weight: 1)
        }
    }

    static func node(_ number: Int) -> NodeID {
        NodeID(Bytes32(copying: [UInt8](repeating: UInt8(number + 1), count: 32).rawSpan))
    }

    static func call(_ purpose: RequestClient.Purpose, isolation: UInt64 = 1, targets: Range<Int> = 0..<3)
        -> RequestClient.Call
    {
        RequestClient.Call(
            scope: .init(isolation: isolation, purpose: purpose), method: .lookup,
            targets: targets.map { .init(node: node($0), onionKey: pairs[$0 % pairs.count].publicKey) }
        ) { _ in [1, 2, 3] }
    }

    static let box = RequestClient.Purpose.box(node(200).key)

    @discardableResult
    mutating func ask(_ call: RequestClient.Call = call(box)) throws -> UInt64 {
        let (number, actions) = client.ask(call, now: now, time: time)
        try take(actions)
        return number
    }

    mutating func take(_ actions: [RequestClient.Action]) throws {
        for action in actions {
            switch action {
            case .openSession(let session, let proxy): opened.append((session, proxy))
            case .closeSession(let session): closed.append(session)
            case .send(let attempt, let session, let bytes):
                sent.append((attempt, session, try RequestOpen(decoding: bytes.rawSpan)))
            case .cancel(let attempt): cancelled.append(attempt)
            case .checkDescriptor(let attempt, let target, _): checks.append((attempt, target))
            case .finished(let call, let outcome):
                try #require(finished[call] == nil, "a call ends once")
                finished[call] = outcome
            }
        }
    }

    mutating func ready(_ session: UInt64) throws { try take(client.sessionReady(session, now: now, time: time)) }

    mutating func readyAll() throws { for (session, _) in opened { try ready(session) } }

    mutating func received(_ attempt: UInt64, _ answer: OuterAnswer?) throws {
        try take(client.received(attempt, answer?.encoded(for: .stream), now: now, time: time))
    }

    mutating func advance(_ span: TimeSpan) throws {
        now = now + span
        try take(client.advance(now, time: time))
    }

    /// The target's sealed answer to a request that was sent.
    func answer(_ index: Int, _ answer: RequestAnswer, pair: KEM.PrivateKey? = nil) throws
        -> OuterAnswer
    {
        guard case .envelope(let envelope, let target) = sent[index].open,
            let number = (0..<4).first(where: { Bench.node($0) == target })
        else { throw Failure() }
        let pair = pair ?? pairs[number]
        let id = Blake2b.digest(pair.publicKey.rawSpan).withBytes { unsafe $0.unsafeLoadUnaligned(as: UInt64.self) }
        let key = try #require(OnionKeys(pair, now: now).key(id: id))
        let opened = try #require(
            RequestEnvelope.open(envelope, with: key, node: target, network: RequestNetwork.network))
        return .answer(opened.seal(answer, salt: [UInt8](repeating: 7, count: 16)))
    }
}

private struct Failure: Error {}

@Suite struct ClientTests {
    private let done = RequestAnswer(.done, [5])

    @Test("RQ2: an answer ends a call; the next one of the purpose takes the same proxy and target")
    func rq2Answer() throws {
        var bench = Bench()
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
        // A session that is used goes on for 15 minutes: then there is another.
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

    @Test("RQ4: a session that nobody uses ends after 2 minutes, built or not; in all there are 576 at most")
    func rq4Sessions() throws {
        var bench = Bench()
        try bench.ask()
        try bench.readyAll()
        try bench.received(bench.sent[0].attempt, bench.answer(0, done))
        let abandoned = try bench.ask(Bench.call(.service(Bench.node(1).key)))
        try bench.take(bench.client.cancel(abandoned, now: bench.now))
        #expect(bench.opened.count == 2 && bench.client.nextDeadline == bench.now + .seconds(120))
        try bench.advance(.milliseconds(119_999))
        #expect(bench.closed.isEmpty)
        try bench.advance(.milliseconds(1))
        #expect(Set(bench.closed) == Set(bench.opened.map(\.session)) && bench.client.nextDeadline == nil)
        // As many calls as there may be, again and again, some of them later than others; no session becomes ready.
        var many = Bench(nodes: 40)
        var most = 0
        for round in 0..<4 {
            for number in 0..<RequestClient.calls {
                if number == 100 { for _ in 0..<6 { try many.advance(.seconds(1)) } }
                let purpose = RequestClient.Purpose.service(Bench.node(number % 64).key)
                try many.ask(Bench.call(purpose, isolation: UInt64(round * 8 + number / 64)))
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

    @Test("RQ2: hedge after 600 ms over another proxy to another target, give-up after 10 s")
    func rq2Hedge() throws {
        var bench = Bench()
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
        // What comes now has no effect.
        try bench.received(bench.sent[0].attempt, bench.answer(0, done))
        #expect(bench.finished.count == 1)
    }

    @Test("RQ2: hedges follow the 95th percentile")
    func rq2Percentile() {
        var times = AnswerTimes()
        #expect(times.hedge(of: .bytes1024) == .milliseconds(600))
        for number in 1...100 { times.add(.milliseconds(Int64(number * 10)), of: .bytes1024) }
        // The last 64 are 370 to 1,000 ms.
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
            var bench = Bench()
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
        var bench = Bench()
        let one = Bench.call(Bench.box, targets: 0..<1)
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
            try bench.ask(Bench.call(.service(Bench.node(number).key), isolation: UInt64(number)))
        }
        #expect(bench.opened.dropFirst().allSatisfy { $0.proxy != proxy })
        // An answer between them sets the count back.
        var other = Bench()
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
        var bench = Bench()
        let call = try bench.ask(Bench.call(Bench.box, targets: 0..<1))
        try bench.readyAll()
        try bench.received(bench.sent[0].attempt, .newKey([1]))
        #expect(bench.checks.count == 1 && bench.checks[0].target == Bench.node(0) && bench.sent.count == 1)
        // Checked: the same attempt again, with the new key.
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
        // A descriptor that is not taken: another proxy.
        var forged = Bench()
        try forged.ask(Bench.call(Bench.box, targets: 0..<1))
        try forged.readyAll()
        try forged.received(forged.sent[0].attempt, .newKey([1]))
        try forged.take(forged.client.keyChecked(forged.sent[0].attempt, nil, now: forged.now, time: forged.time))
        #expect(forged.opened.count == 2 && forged.opened[1].proxy != forged.opened[0].proxy)
    }

    @Test("RQ8: what a target says of the client's time ends the call, and has no other effect")
    func rq8WrongTime() throws {
        for status in [RequestStatus.timeInvalid, .done] {
            var bench = Bench()
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
        var bench = Bench(nodes: 40)
        var random = Seeded(7)
        var scopes: [UInt64: Set<RequestClient.Scope>] = [:]
        var targets: [UInt64: Set<NodeID>] = [:]
        for round in 0..<150 {
            let box = Bench.node(Int(random.next() % 12)).key
            let purpose: RequestClient.Purpose =
                switch random.next() % 3 {
                case 0: .box(box)
                case 1: .service(box)
                default: .introduction(service: box, node: Bench.node(Int(random.next() % 2)))
                }
            let call = Bench.call(purpose, isolation: random.next() % 3)
            let first = bench.sent.count
            try bench.ask(call)
            try bench.readyAll()
            for sent in bench.sent[first...] {
                guard case .envelope(_, let target) = sent.open else { throw Failure() }
                scopes[sent.session, default: []].insert(call.scope)
                targets[sent.session, default: []].insert(target)
                try bench.received(sent.attempt, random.happens(50) ? .unknownTarget : .noAnswer)
            }
            // Ends what is left of the call, before the next one's requests are told apart.
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
        var random = Seeded(3)
        func node(_ number: Int, _ owner: Int, _ weight: UInt32 = 1) -> RequestNode {
            RequestNode(id: Bench.node(number), operatorID: Bench.node(owner).key, weight: weight)
        }
        func drawn(
            _ nodes: [RequestNode], _ swarm: Set<NodeID> = [], avoided: Set<NodeID> = [], missed: Set<NodeID> = []
        ) -> [NodeID: Int] {
            var counts: [NodeID: Int] = [:]
            for _ in 0..<2_000 {
                let found = ProxyChoice.draw(
                    from: nodes, target: Bench.node(0), swarm: swarm, avoided: { avoided.contains($0) },
                    missed: missed, using: &random)
                if let found { counts[found, default: 0] += 1 }
            }
            return counts
        }
        let counts = drawn([node(0, 0, 1_000), node(1, 0, 1_000), node(2, 2, 3), node(3, 3, 1)])
        #expect(Set(counts.keys) == [Bench.node(2), Bench.node(3)])
        #expect((1_400...1_600).contains(counts[Bench.node(2)] ?? 0), "three in four")
        let small = [node(0, 0), node(1, 0), node(2, 2), node(3, 3)]
        #expect(Set(drawn(small, [Bench.node(2)]).keys) == [Bench.node(3)])
        #expect(Set(drawn(small, [Bench.node(2), Bench.node(3)]).keys) == [Bench.node(2), Bench.node(3)])
        #expect(Set(drawn([node(0, 0), node(1, 0)]).keys) == [Bench.node(1)])
        #expect(drawn([node(0, 0)]).isEmpty && drawn([]).isEmpty)
        #expect(drawn(small, avoided: Set((1...3).map(Bench.node))).isEmpty, "avoided nodes never give way")
        #expect(Set(drawn(small, missed: [Bench.node(2)]).keys) == [Bench.node(3)])
        let outside = Set(drawn(small, [Bench.node(3)], missed: [Bench.node(2)]).keys)
        #expect(outside == [Bench.node(2)], "the swarm does not give way for those that were missed")
        #expect(Set(drawn([node(0, 0), node(5, 5, 0)]).keys) == [Bench.node(5)], "a weight of zero counts as one")
    }

    @Test("RQ4: calls have a limit, and each isolation key its share")
    func rq4Calls() throws {
        var bench = Bench()
        for number in 0..<100 { try bench.ask(Bench.call(.service(Bench.node(number).key), isolation: 1)) }
        #expect(bench.client.pending == RequestClient.callsOfIsolation)
        for isolation in 2...6 {
            for _ in 0..<64 { try bench.ask(Bench.call(Bench.box, isolation: UInt64(isolation))) }
        }
        #expect(bench.client.pending == RequestClient.calls)
        let newcomer = try bench.ask(Bench.call(Bench.box, isolation: 99))
        #expect(bench.finished[newcomer] == nil && bench.client.pending == RequestClient.calls)
        try bench.advance(.seconds(10))
        #expect(bench.client.pending == 0 && bench.client.attempts.isEmpty)
    }

    @Test("RQ2: without proxies, with a target's key that is none")
    func rq2NoWay() throws {
        var none = Bench(nodes: 1)
        let call = try none.ask(Bench.call(Bench.box, targets: 0..<1))
        #expect(none.finished[call] == .noProxy)
        var key = Bench()
        let bad = RequestClient.Call(
            scope: .init(isolation: 1, purpose: Bench.box), method: .lookup,
            targets: [.init(node: Bench.node(0), onionKey: [1, 2])]
        ) { _ in [] }
        let third = try key.ask(bad)
        try key.readyAll()
        #expect(key.finished[third] == .timedOut && key.client.pending == 0)
    }

    @Test("RQ4: sessions that cannot be had cost no attempt: others are tried until 10 s are over, after pauses")
    func rq4Misses() throws {
        var bench = Bench()
        let call = try bench.ask()
        var tried: [NodeID] = []
        var at: [TimeSpan] = []
        let began = bench.now
        /// Ends each session that was asked for and is not ready, at once.
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
        // It has all of its attempts still.
        var late = bench
        try late.advance(.milliseconds(10))
        #expect(late.finished[call] == .noProxy && late.client.sessions.isEmpty && late.client.attempts.isEmpty)
        // Where there is one proxy, it is tried again, and serves once it is there.
        var lone = Bench(nodes: 2)
        let second = try lone.ask(Bench.call(Bench.box, targets: 0..<1))
        try lone.take(lone.client.sessionEnded(lone.opened[0].session, now: lone.now, time: lone.time))
        #expect(lone.opened.count == 1 && lone.finished.isEmpty)
        try lone.advance(.milliseconds(250))
        #expect(lone.opened.map(\.proxy) == [Bench.node(1), Bench.node(1)])
        try lone.ready(lone.opened[1].session)
        try lone.received(lone.sent[0].attempt, lone.answer(0, done))
        guard case .answered = lone.finished[second] else { throw Failure() }
    }

    @Test("RQ4: a proxy whose session ends with a request is another's turn at once; the attempts have a limit")
    func rq4Lost() throws {
        var bench = Bench()
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
}
