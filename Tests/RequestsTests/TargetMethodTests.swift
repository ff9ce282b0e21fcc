import RequestsModel
import Testing
import Wire

@testable import Requests

/// The methods of a target.
@Suite struct TargetMethodTests {
    @Test("RQ6: RELAY makes a chain of two proxies at most")
    func rq6Relay() throws {
        var bench = try TargetBench()
        let inner = [UInt8](repeating: 1, count: RequestClass.bytes1024.envelopeSize)
        func relay(_ target: NodeID) -> [UInt8] { RelayRequest(target: target, envelope: inner).encoded() }
        let other = RequestNetwork.id(3)
        // To another node: the target says at once that it takes longer, and later sends the proxy's answer.
        let request = try bench.seal(.relay, relay(other))
        let message = try bench.forward(request.envelope)
        try bench.open()
        #expect(bench.answers[message] == .later && bench.relays.count == 1)
        try bench.take(bench.target.relayed(bench.relays[0].ticket, .noLink, now: bench.now))
        guard case .answer(let sealed)? = bench.sent.first?.message.answer else { throw Unexpected() }
        #expect(request.open(sealed) == RequestAnswer(.done, OuterAnswer.noLink.encoded(for: .stream)))
        // A request that was relayed already, to the target itself, to the node that asks, and a malformed one.
        let refused: [([UInt8], Bool, RequestStatus)] = [
            (relay(other), true, .notAuthorised), (relay(RequestNetwork.id(0)), false, .notAuthorised),
            (relay(RequestTarget.peer(1)), false, .notAuthorised), ([1, 2], false, .malformed),
        ]
        for (arguments, isRelayed, status) in refused {
            let request = try bench.seal(.relay, arguments)
            try bench.forward(request.envelope, isRelayed: isRelayed)
            try bench.open()
            guard case .answer(let sealed)? = bench.sent.last?.message.answer else { throw Unexpected() }
            #expect(request.open(sealed)?.status == status)
        }
        #expect(bench.relays.count == 1 && bench.target.pending == 0)
        // An answer that does not fit into any answer.
        let large = try bench.seal(.relay, relay(other))
        try bench.forward(large.envelope)
        try bench.open()
        let answer = OuterAnswer.answer([UInt8](repeating: 0, count: RequestClass.bytes65792.answerSize))
        try bench.take(bench.target.relayed(bench.relays[1].ticket, answer, now: bench.now))
        guard case .answer(let last)? = bench.sent.last?.message.answer else { throw Unexpected() }
        #expect(large.open(last) == RequestAnswer(.done, OuterAnswer.noAnswer.encoded(for: .stream)))
    }

    @Test("RQ3: requests that wait for a third node take a quarter of a proxy's places")
    func rq3SlowRequests() throws {
        var bench = try TargetBench()
        let inner = [UInt8](repeating: 1, count: RequestClass.bytes1024.envelopeSize)
        func ask(_ method: RequestMethod, _ arguments: [UInt8]) throws -> UInt64 {
            let message = try bench.forward(try bench.seal(method, arguments).envelope)
            try bench.open()
            return message
        }
        let relay = RelayRequest(target: RequestNetwork.id(3), envelope: inner).encoded()
        for number in 1...RequestLimits.slowPerNode {
            let message = try ask(.relay, relay)
            #expect(bench.answers[message] == .later && bench.relays.count == number)
        }
        let refused = try ask(.relay, relay)
        #expect(bench.answers[refused] == .busy(seconds: 12) && bench.relays.count == RequestLimits.slowPerNode)
        // Other requests are answered meanwhile, and the next RELAY is accepted when one has ended.
        let performed = bench.performing.count
        _ = try ask(.status, [])
        #expect(bench.performing.count == performed + 1)
        try bench.take(bench.target.relayed(bench.relays[0].ticket, .noLink, now: bench.now))
        let next = try ask(.relay, relay)
        #expect(bench.answers[next] == .later)
    }

    @Test("RQ6: a relayed request's answer fits into another")
    func rq6Room() throws {
        var bench = try TargetBench()
        for isRelayed in [false, true] { try bench.forward(bench.envelope(), isRelayed: isRelayed) }
        try bench.open()
        #expect(bench.performing.map(\.room) == [65_787, 33_019])
        let inner = 5 + RequestClass.bytes33024.answerSize
        #expect(inner <= 65_787)
    }

    @Test("RQ4: large answers have a rate, and each node its part")
    func rq4LargeAnswers() throws {
        var bench = try TargetBench()
        var done: [Int: Int] = [:]
        for proxy in [2] + Array(repeating: 1, count: 60) + Array(repeating: 2, count: 5) {
            if try bench.hasLargeAnswer(proxy) { done[proxy, default: 0] += 1 }
        }
        // 250 units at once, and four for each answer, of which three are due before the next one; below half of the
        // units, each node has its own part.
        #expect(done == [1: 32, 2: 6])
    }

    @Test("RQ4: each of many nodes gets large answers, also while a node's part is smaller than one")
    func rq4SmallParts() throws {
        var bench = try TargetBench()
        var done: Set<Int> = []
        for _ in 0..<2 {
            for proxy in 1...70 where try bench.hasLargeAnswer(proxy) { done.insert(proxy) }
            try bench.advance(.seconds(1))
        }
        #expect(done.count == 70)
    }

    @Test("RQ7: a method that is not known, one that is")
    func rq7Methods() throws {
        var bench = try TargetBench()
        for method in RequestMethod.allCases where method != .relay {
            try bench.forward(bench.envelope(method))
            try bench.open()
            #expect(bench.performing.last?.method == method)
        }
        #expect(bench.answers.values.filter { $0 == .later }.count == 1, "INTRODUCE at once")
    }
}

extension TargetBench {
    /// Whether a request of a proxy gets an answer of 60,000 bytes, and is not told that the target is busy.
    fileprivate mutating func hasLargeAnswer(_ proxy: Int) throws -> Bool {
        let request = try seal()
        let message = try forward(request.envelope, from: proxy)
        try open()
        try perform(RequestAnswer(.done, [UInt8](repeating: 1, count: 60_000)))
        guard case .answer(let sealed)? = answers[message], let answer = request.open(sealed) else {
            throw Unexpected()
        }
        #expect(answer.status == .done || answer == .busy(seconds: 1))
        return answer.status == .done
    }
}
