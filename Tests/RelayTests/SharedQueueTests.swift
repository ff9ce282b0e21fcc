import Link
import SeededRandom
import Testing
import Wire

@testable import Relay

/// Who gets a place among requests that wait, and whose turn it is.
@Suite struct SharedQueueTests {
    private typealias Queue = SharedQueue<Int>

    private static func node(_ number: UInt64) -> Asker {
        var writer = ByteWriter()
        for word in [number, 1, 2, 3] { writer.u64(word) }
        return .node(NodeID(Bytes32(copying: writer.bytes.rawSpan)))
    }

    /// The address `host` of the `network`th /24.
    private static func address(_ network: Int, host: Int = 0) -> Asker {
        .address(AddressShare(IPAddress(v4: UInt32(0x0a00_0000 + network << 8 + host))))
    }

    /// The `number`th /56 from 2001:db8:: on; 256 of them are a /48.
    private static func subscriber(_ number: Int) -> Asker {
        .address(AddressShare(IPAddress(high: 0x2001_0db8_0000_0000 + UInt64(number) << 8, low: 1)))
    }

    private func queue(capacity: Int = 256, most: Int = 16, freely: Int = 0, seed: UInt64 = 1) -> Queue {
        Queue(capacity: capacity, most: most, freely: freely, random: SeededGenerator(seed: seed))
    }

    // MARK: Newcomers

    /// One answer after the other, of 20 ms each, beside sources that ask four times as often as is answered.
    private struct Server {
        static let answer = TimeSpan.milliseconds(20)

        var queue: Queue
        let sources: Int
        let areNetworks: Bool
        private(set) var now = Instant(nanoseconds: 0)
        private var next = 0

        init(queue: Queue, sources: Int, areNetworks: Bool) {
            self.queue = queue
            self.sources = sources
            self.areNetworks = areNetworks
        }

        mutating func flood(_ questions: Int) {
            for _ in 0..<questions {
                let source = next % sources
                next += 1
                _ = queue.add(-1, from: areNetworks ? address(source) : subscriber(source))
            }
        }

        /// The time that `asker` waits for an answer; nil if it is more than `limit`.
        ///
        /// It asks anew each second if it is refused.
        mutating func wait(of asker: Asker, limit: TimeSpan = .seconds(5)) -> TimeSpan? {
            let begun = now
            var isWaiting = false
            var nextQuestion = now
            while now - begun < limit {
                if !isWaiting, now >= nextQuestion {
                    isWaiting = queue.add(1, from: asker) != 1
                    nextQuestion = now + .seconds(1)
                }
                if serve() == 1 { return now - begun }
                for _ in 0..<4 {
                    let source = next % sources
                    next += 1
                    let dropped = queue.add(-1, from: areNetworks ? address(source) : subscriber(source))
                    if dropped == 1 { isWaiting = false }
                }
            }
            return nil
        }

        mutating func serve() -> Int? {
            now = now + Self.answer
            return queue.take()?.request
        }
    }

    @Test(
        "s13: a newcomer is answered at once beside sources that flood: of one network, of four, and of a thousand",
        arguments: [(1, true), (20, true), (1_000, true), (20, false), (1_000, false)])
    func s13_newcomer(sources: Int, areNetworks: Bool) {
        var server = Server(queue: queue(), sources: sources, areNetworks: areNetworks)
        // Each network has had an answer.
        while server.now < Instant(nanoseconds: 0) + .seconds(25) {
            server.flood(4)
            _ = server.serve()
        }
        server.flood(1_000)
        for newcomer in 0..<10 {
            let waited = server.wait(of: Self.address(60_000 + newcomer))
            #expect(waited == Server.answer)
        }
        // An asker that has been answered has its next turn after one of each network.
        let networks = areNetworks ? sources : (sources + 255) / 256
        let round = Server.answer * Int64(networks + 10) + .seconds(1)
        let again = server.wait(of: Self.address(60_000), limit: round)
        #expect(again != nil)
    }

    @Test(
        "s13: a node is answered at once while strangers flood who have had no answer yet", arguments: [1, 20, 1_000])
    func s13_node(sources: Int) {
        for areNetworks in [true, false] {
            var server = Server(queue: queue(), sources: sources, areNetworks: areNetworks)
            server.flood(2_000)
            for number in 0..<20 as Range<UInt64> {
                let waited = server.wait(of: Self.node(number % 10), limit: Server.answer * 2)
                #expect(waited != nil)
            }
        }
    }

    @Test("s13: a /48 of 256 sources that came first has one turn of two, and keeps others from no place")
    func s13_oneNetwork() {
        var queue = queue()
        for source in 0..<256 { #expect(queue.add(-1, from: Self.subscriber(source)) == nil) }
        for number in 0..<16 { #expect(queue.add(number, from: Self.address(0)) == -1) }
        #expect(queue.count == 256)
        let answers = (0..<32).map { _ in queue.take()?.request }
        #expect(answers.count { $0 != -1 } == 16)
        #expect(answers.filter { $0 != -1 } == Array(0..<16))
    }

    @Test("s13: in a network, too, a newcomer has a place and the next turn")
    func s13_newcomerOfANetwork() {
        var queue = queue(capacity: 128)
        for host in 0..<128 { _ = queue.add(host, from: Self.address(1, host: host)) }
        for _ in 0..<128 { _ = queue.take() }
        for host in 0..<128 { _ = queue.add(host, from: Self.address(1, host: host)) }
        let dropped = queue.add(500, from: Self.address(1, host: 200))
        #expect(dropped != nil && dropped != 500 && queue.count == 128)
        #expect(queue.take()?.request == 500)
    }

    @Test("s13: among networks that have had no turn, a newcomer's chance does not depend on who came first")
    func s13_lots() {
        var queue = queue()
        for number in 0..<656 { _ = queue.add(number, from: Self.address(number)) }
        #expect(queue.count == 256)
        var first = 0
        while let request = queue.take()?.request { first += request < 256 ? 1 : 0 }
        // Of those 656, 256 have a place, whoever they are: of the first 256 about a hundred.
        #expect((60...140).contains(first))
    }

    @Test("s13: turns of the last 1,024 are remembered at least, and of twice as many at most")
    func s13_memory() {
        var turns = LastTurns<Int>()
        for key in 0..<10_000 {
            let turn = turns.take(key)
            #expect(turn == LastTurns<Int>.first + UInt64(key))
            if key % 97 == 0 { #expect((max(0, key - 1_023)...key).allSatisfy { turns.last(of: $0) != nil }) }
        }
        #expect((0..<10_000).count { turns.last(of: $0) != nil } <= 2_048)
    }

    // MARK: Turns

    @Test("s13: askers take turns, so that a flood of one delays another's question by one answer")
    func s13_turnsOfAskers() {
        for other in [Self.address(2), Self.address(1, host: 2)] {
            var queue = queue(freely: 128)
            for number in 0..<100 { _ = queue.add(number, from: Self.address(1)) }
            #expect(queue.take()?.request == 0)
            #expect(queue.add(1_000, from: other) == nil)
            #expect(queue.add(1_001, from: other) == nil)
            #expect(queue.first == 1_000)
            // One of each, and each asker's in order; who asks again after his turn waits for the others' turns.
            #expect((0..<3).map { _ in queue.take()?.request } == [1_000, 1, 1_001])
            #expect(queue.add(1_002, from: other) == nil)
            #expect(queue.add(1_003, from: Self.node(1)) == nil)
            #expect(queue.first == 1_003)
            #expect((0..<4).map { _ in queue.take()?.request } == [1_003, 2, 1_002, 3])
        }
    }

    @Test("s13: nodes and strangers are answered alternately while both wait")
    func s13_turnsOfNodes() {
        var queue = queue()
        for number in 0..<4 { _ = queue.add(number, from: Self.address(number)) }
        for number in 10..<13 { _ = queue.add(number, from: Self.node(UInt64(number))) }
        let order = (0..<7).map { _ in (queue.take()?.request ?? 0) >= 10 }
        #expect(order == [true, false, true, false, true, false, false])
        // Nobody loses a turn because the others did not ask.
        _ = queue.add(5, from: Self.address(5))
        #expect(queue.take()?.request == 5)
    }

    @Test("s13: an asker that could not be answered for long has no turns to make up for")
    func s13_oldTurns() {
        for other in [Self.address(2), Self.address(1, host: 2)] {
            var queue = queue(capacity: 64)
            for number in 0..<8 { _ = queue.add(number, from: Self.address(1)) }
            #expect(queue.take()?.request == 0)
            for number in 10..<20 { _ = queue.add(number, from: other) }
            // The first asker may not be answered now, and the other one is.
            for number in 10..<17 { #expect(queue.take { $1 >= 10 }?.request == number) }
            #expect(queue.take()?.request == 1)
            #expect(queue.take()?.request == 17)
            // A newcomer's turn is before both.
            _ = queue.add(30, from: Self.address(3))
            #expect((0..<3).map { _ in queue.take()?.request } == [30, 2, 18])
        }
    }

    @Test("s13: what the condition refuses keeps its turn, and what is removed was nobody's")
    func s13_turnsThatWait() {
        var queue = queue(capacity: 8, most: 4)
        for number in 0..<4 { _ = queue.add(number, from: Self.address(1)) }
        #expect(queue.take()?.request == 0)
        for number in 10..<14 { _ = queue.add(number, from: Self.address(2)) }
        #expect((0..<2).map { _ in queue.take { $1 >= 10 }?.request } == [10, 11])
        #expect((0..<3).map { _ in queue.take()?.request } == [1, 12, 2])
        queue.remove { $0 >= 10 }
        #expect(queue.count == 1 && queue.contains { $0 == 3 } && !queue.contains { $0 == 13 })
        for number in 20..<23 { _ = queue.add(number, from: Self.address(4)) }
        queue.remove { $0 == 20 }
        #expect((0..<3).map { _ in queue.take()?.request } == [21, 3, 22])
        #expect(queue.take() == nil && queue.first == nil)
    }

    // MARK: Places

    @Test(
        "requests wait, are taken or give way, each once, within the bounds", arguments: 1...20 as ClosedRange<UInt64>)
    func model(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let (capacity, most, freely) = (Int.random(in: 1...40, using: &random), 4, 8)
        var queue = queue(capacity: capacity, most: most, freely: freely, seed: seed)
        let askers = (0..<30).map { $0 % 3 == 0 ? Self.node(UInt64($0)) : Self.address($0 % 7, host: $0) }
        var waiting: [Int: Asker] = [:]
        for number in 0..<2_000 {
            let asker = askers[Int.random(in: 0..<askers.count, using: &random)]
            let place = Int.random(in: 0..<10, using: &random)
            if place < 6 {
                let own = waiting.values.count { $0 == asker }
                let all = waiting.values.count { $0.isNode == asker.isNode }
                waiting[number] = asker
                if let dropped = queue.add(number, from: asker) {
                    #expect(waiting.removeValue(forKey: dropped) != nil, "seed \(seed)")
                    #expect(all == capacity || own >= most, "seed \(seed)")
                } else {
                    #expect(all < capacity && (own < most || all < freely), "seed \(seed)")
                }
            } else if place < 9 {
                let first = queue.first
                let taken = queue.take()
                #expect(taken?.request == first, "seed \(seed)")
                if let taken {
                    #expect(waiting.removeValue(forKey: taken.request) == taken.asker, "seed \(seed)")
                    let earlier = waiting.contains { $0.value == taken.asker && $0.key < taken.request }
                    #expect(!earlier, "seed \(seed): an asker's requests are taken in order")
                }
            } else {
                let part = Int.random(in: 0..<50, using: &random)
                queue.remove { $0 % 50 == part }
                waiting = waiting.filter { $0.key % 50 != part }
            }
            #expect(queue.count == waiting.count, "seed \(seed)")
        }
    }
}
