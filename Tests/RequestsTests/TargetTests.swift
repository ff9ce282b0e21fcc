import Onion
import OnionCrypto
import RequestsModel
import Testing
import Wire

@testable import Requests

@Suite struct TargetTests {
    @Test("RQ1: the same envelope again, at once, later, and by another proxy, has no answer")
    func rq1Replay() throws {
        var bench = try TargetBench()
        let request = try bench.seal()
        // The envelope arrives twice before the first is opened.
        let first = try bench.forward(request.envelope)
        let second = try bench.forward(request.envelope, from: 2)
        try bench.open()
        #expect(bench.performing.count == 1)
        try bench.perform()
        guard case .answer(let sealed)? = bench.answers[first] else { throw Unexpected() }
        #expect(request.open(sealed) == RequestAnswer(.done, [9]))
        #expect(bench.answers[second] == .unreadable)
        // The target remembers the envelope, and uses no key.
        for minutes in [0, 5, 5] {
            try bench.advance(.seconds(Int64(minutes * 60)))
            bench.time.seconds += UInt64(minutes * 60)
            let message = try bench.forward(request.envelope, from: 3)
            try bench.open()
            #expect(bench.answers[message] == .unreadable && bench.performing.isEmpty)
        }
        // The target has forgotten the envelope, whose time is over. Each answer has its own key.
        try bench.advance(.seconds(1_400))
        bench.time.seconds += 1_400
        var late: Set<OuterAnswer> = []
        for _ in 0..<2 {
            let message = try bench.forward(request.envelope, from: 3)
            try bench.open()
            guard case .answer(let again)? = bench.answers[message] else { throw Unexpected() }
            #expect(request.open(again) == RequestAnswer(.timeInvalid) && again.count == sealed.count)
            late.insert(.answer(again))
        }
        #expect(late.count == 2)
        // Not even a clock that is set back makes it valid again.
        bench.time.seconds -= 2_000
        let message = try bench.forward(request.envelope, from: 3)
        try bench.open()
        guard case .answer(let again)? = bench.answers[message] else { throw Unexpected() }
        #expect(request.open(again) == RequestAnswer(.timeInvalid))
        #expect(bench.target.pending == 0 && bench.performing.isEmpty)
    }

    @Test("RQ7: malformed, foreign and altered requests take no key and no place")
    func rq7Admission() throws {
        var bench = try TargetBench()
        let good = ForwardMessage(id: 1, isRelayed: false, envelope: try bench.envelope()).encoded()
        var puzzle = good
        puzzle[20] = 1
        var flags = good
        flags[8] = 2
        for body in [[], Array(good.prefix(45)), Array(good.dropLast()), good + [0], puzzle, flags] {
            let message = try bench.forward(body: body)
            #expect(bench.answers[message] == .unreadable)
        }
        #expect(bench.openings.isEmpty && bench.target.pending == 0 && bench.target.counters.unreadable == 6)
        // For a key that the node does not hold, it answers with its descriptor and does no work.
        var foreign = good
        foreign[46] ^= 1
        let message = try bench.forward(body: foreign)
        #expect(bench.answers[message] == .newKey([1, 2, 3]) && bench.openings.isEmpty)
        var altered = good
        altered[altered.count - 1] ^= 1
        let other = try bench.forward(body: altered)
        try bench.open()
        #expect(bench.answers[other] == .unreadable && bench.performing.isEmpty)
        // The altered request is not remembered, so the real request is answered.
        let real = try bench.forward(body: good)
        try bench.open()
        try bench.perform()
        #expect(bench.answers[real]?.status == .answer)
    }

    @Test("RQ3: a flood through one proxy costs its own requests only; nodes are served in turn")
    func rq3Flood() throws {
        var bench = try TargetBench(requestsPerSecond: 10)
        var seed: UInt64 = 0
        func next() -> UInt64 { seed += 1; return seed }
        // Ten tokens are used up, and then the queue of one proxy fills to its limit.
        for _ in 0..<100 { try bench.forward(bench.junk(next()), from: 1) }
        #expect(bench.target.pending == RequestLimits.unanswered)
        // A newcomer's request is the next but one.
        let request = try bench.seal()
        let message = try bench.forward(request.envelope, from: 2)
        try bench.open(isReal: false)
        for _ in 0..<3 {
            try bench.advance(.milliseconds(100))
            for opening in bench.openings where opening.envelope == request.envelope {
                try bench.open()
                try bench.perform()
            }
            bench.openings = []
        }
        #expect(bench.answers[message] == .later)
        let answer = bench.sent.first { $0.node == RequestTarget.peer(2) }?.message.answer
        guard case .answer(let sealed)? = answer else { throw Unexpected() }
        #expect(request.open(sealed) != nil)
    }

    @Test("RQ3: a full queue of many proxies: the one with most loses its oldest, and all leave after 5 s")
    func rq3FullQueue() throws {
        var bench = try TargetBench(requestsPerSecond: 1)
        var seed: UInt64 = 0
        try bench.forward(bench.junk(9_999), from: 99)
        // Eight proxies with 32 requests each take all 256 places.
        for proxy in 1...8 {
            for _ in 0..<32 {
                seed += 1
                try bench.forward(bench.junk(seed), from: proxy)
            }
        }
        #expect(bench.target.pending == 257)
        let before = bench.answers.count
        let newcomer = try bench.forward(bench.junk(10_000), from: 9)
        #expect(bench.answers[newcomer] == nil && bench.answers.count == before + 1, "one of the others left")
        #expect(bench.target.pending == 257)
        // Large requests take more places: 8 MiB in all.
        for number in 0..<32 { try bench.forward(bench.junk(20_000 + UInt64(number), .bytes65792), from: 10) }
        #expect(bench.target.pending < 257 && bench.target.queued.count <= RequestLimits.queuePlaces)
        #expect(bench.target.queued.places(of: RequestTarget.peer(9)) == 1, "the newcomer kept its place")
        // All are told that the answer comes later, and end with *busy*.
        try bench.advance(.milliseconds(60))
        #expect(bench.answers[newcomer] == .later)
        for _ in 0..<60 { try bench.advance(.milliseconds(100)) }
        bench.openings = []
        #expect(bench.target.queued.count == 0)
        #expect(bench.sent.allSatisfy { $0.message.answer.status == .busy })
        try bench.advance(.seconds(12))
        #expect(bench.target.pending == 0 && bench.target.nextDeadline == nil)
    }

    @Test("RQ3: 64 openings at once, 200 requests a second of a node, 32 unanswered")
    func rq3Limits() throws {
        var bench = try TargetBench(requestsPerSecond: 5_000)
        for number in 0..<100 { try bench.forward(bench.junk(UInt64(number)), from: 1 + number / 25) }
        #expect(bench.openings.count == RequestLimits.openingsAtOnce && bench.target.pending == 100)
        try bench.open(isReal: false)
        #expect(bench.target.pending == 0)
        var accepted = 0
        for number in 0..<600 {
            let message = try bench.forward(bench.junk(1_000 + UInt64(number)), from: 7)
            if bench.answers[message] == nil { accepted += 1 }
            try bench.open(isReal: false)
        }
        #expect(accepted == RequestLimits.forwardsBurst)
        // A new link brings no new tokens.
        try bench.take(bench.target.linkEnded(RequestTarget.peer(7), now: bench.now))
        let message = try bench.forward(bench.junk(9_000), from: 7)
        #expect(bench.answers[message]?.status == .busy)
        try bench.advance(.seconds(2))
        for number in 0..<400 {
            try bench.forward(bench.junk(10_000 + UInt64(number)), from: 7)
            try bench.open(isReal: false)
        }
        #expect(bench.target.counters.unreadable == 100 + 400 + 400)
    }

    @Test("RQ4: an answer after 50 ms goes by ANSWER, once; nothing waits longer than 12 s")
    func rq4Deferred() throws {
        var bench = try TargetBench()
        let request = try bench.seal()
        let message = try bench.forward(request.envelope)
        try bench.open()
        try bench.advance(.milliseconds(49))
        #expect(bench.answers[message] == nil)
        try bench.advance(.milliseconds(1))
        #expect(bench.answers[message] == .later && bench.sent.isEmpty)
        let ticket = try #require(bench.performing.first?.ticket)
        try bench.perform()
        try bench.take(bench.target.performed(ticket, RequestAnswer(.done, [1]), now: bench.now))
        #expect(bench.sent.count == 1 && bench.sent.first?.message.id == 1_000)
        guard case .answer(let sealed)? = bench.sent.first?.message.answer else { throw Unexpected() }
        #expect(request.open(sealed) == RequestAnswer(.done, [9]))
        // A method that never ends.
        try bench.forward(bench.envelope())
        try bench.open()
        #expect(bench.target.pending == 1)
        try bench.advance(.seconds(12))
        #expect(bench.target.pending == 0)
        try bench.perform()
        #expect(bench.sent.count == 1, "nobody waits any more")
    }

    @Test("RQ4: a link that ends takes its requests along")
    func rq4LinkEnds() throws {
        var bench = try TargetBench()
        for proxy in [1, 1, 2] { try bench.forward(bench.envelope(), from: proxy) }
        try bench.take(bench.target.linkEnded(RequestTarget.peer(1), now: bench.now))
        #expect(bench.target.pending == 1)
        try bench.open()
        try bench.perform()
        #expect(bench.answers.count == 1 && bench.target.pending == 0 && bench.target.opening.isEmpty)
    }

    @Test("RQ4: at work, the node with most gives up a request for a newcomer's")
    func rq4AtWork() throws {
        var bench = try TargetBench(requestsPerSecond: 50_000)
        // 32 nodes with 32 requests each, on which the work never ends.
        for node in 1...32 {
            for number in 0..<32 {
                try bench.forward(bench.junk(UInt64(node * 100 + number)), from: node)
                // This stands for a worker that has returned while the method still runs, and needs no key.
                for opening in bench.openings {
                    bench.target.opening.remove(opening.ticket)
                }
                bench.openings = []
            }
        }
        #expect(bench.target.atWork.count == RequestLimits.atWork)
        let before = bench.answers.count
        try bench.forward(bench.junk(99_999), from: 50)
        #expect(bench.answers.count == before + 1 && bench.target.atWork.places(of: RequestTarget.peer(50)) == 1)
    }
}
