import Link
import Testing
import Wire

@testable import Links
@testable import Messages

/// Who holds the memory of long answers, on a clock that only the test moves.
@Suite struct AnswerMemoryTests {
    private let start = Instant(nanoseconds: 1_000_000_000_000)

    private func client(_ number: Int) -> LinkSource {
        .client(AddressShare(IPAddress(v4: 0x0b00_0000 + UInt32(number))))
    }

    private func responder(_ number: Int) -> ControlResponder {
        ControlResponder(link: LinkID(rawValue: UInt32(number)), stream: 1)
    }

    /// Takes memory as `Links` does.
    private func take(
        _ memory: inout AnswerMemory<ControlResponder>, _ number: Int, _ source: LinkSource, _ count: Int,
        _ now: Instant
    ) -> Bool {
        while true {
            switch memory.take(count, for: responder(number), of: source, now: now) {
            case .granted: return true
            case .refused: return false
            case .after(let other): memory.release(other)
            }
        }
    }

    @Test(
        "s24: an address that does not read holds its share, and gives that up",
        arguments: [(1, false), (20, false), (1_000, false), (20, true), (1_000, true)])
    func s24_shares(addresses: Int, areNetworks: Bool) {
        var memory = AnswerMemory<ControlResponder>(bytes: 256 << 20, longest: 16 << 20)
        var now = start
        for number in 1...2_000 {
            let source = areNetworks ? network(number % addresses) : client(number % addresses)
            _ = take(&memory, number, source, 3 << 20, now)
            now = now + .milliseconds(1)
            #expect(memory.bytes <= 256 << 20)
        }
        if addresses == 1 { #expect(memory.bytes <= 128 << 20) }
        // A newcomer is refused for a second at the most.
        var waited = 0
        while !take(&memory, 5_000, client(5_000), 15 << 20, now) {
            now = now + .milliseconds(250)
            waited += 250
            guard waited < 5_000 else { break }
        }
        #expect(waited <= 1_000)
    }

    @Test("s24: who reads is not disturbed") func s24_readers() {
        var memory = AnswerMemory<ControlResponder>(bytes: 64 << 20, longest: 16 << 20)
        var now = start
        var sent = 0
        for number in 1...32 { #expect(take(&memory, number, client(number), 1 << 20, now)) }
        #expect(take(&memory, 100, client(100), 16 << 20, now))
        #expect(take(&memory, 101, client(101), 16 << 20, now))
        for number in 200..<400 {
            now = now + .milliseconds(100)
            sent += 64 << 10
            memory.moved(responder(100), sent: sent, now: now)
            _ = take(&memory, number, client(number), 1 << 20, now)
        }
        // It is still counted: releasing it frees its bytes.
        let before = memory.bytes
        memory.release(responder(100))
        #expect(before - memory.bytes == 16 << 20)
        let rest = memory.bytes
        memory.release(responder(101))
        #expect(memory.bytes == rest)
    }

    // MARK: Networks

    /// Sources that take as many answers as they get, of 3 MiB, and read each at 128 KiB a second.
    private struct Flood {
        var memory = AnswerMemory<ControlResponder>(bytes: 256 << 20, longest: 16 << 20)
        private(set) var now = Instant(nanoseconds: 1_000_000_000_000)
        private let sources: [LinkSource]
        private var sent: [ControlResponder: Int] = [:]
        private var next = 0

        init(_ sources: [LinkSource]) { self.sources = sources }

        mutating func take(_ count: Int, for answer: ControlResponder, of source: LinkSource) -> Bool {
            while true {
                switch memory.take(count, for: answer, of: source, now: now) {
                case .granted: return true
                case .refused: return false
                case .after(let other):
                    memory.release(other)
                    sent[other] = nil
                }
            }
        }

        /// A quarter of a second, in which the flood asks for 50 answers.
        mutating func step() {
            now = now + .milliseconds(250)
            for (answer, bytes) in sent {
                sent[answer] = bytes + 32 << 10
                memory.moved(answer, sent: bytes + 32 << 10, now: now)
                guard bytes + 32 << 10 >= 3 << 20 else { continue }
                memory.release(answer)
                sent[answer] = nil
            }
            for _ in 0..<50 {
                next += 1
                let answer = ControlResponder(link: LinkID(rawValue: UInt32(next)), stream: 1)
                if take(3 << 20, for: answer, of: sources[next % sources.count]) { sent[answer] = 0 }
            }
        }

        /// The time until `source` has memory for `count` bytes, for which it asks every 250 ms; nil if that takes more
        /// than five seconds.
        mutating func wait(of source: LinkSource, _ count: Int, for number: UInt32) -> TimeSpan? {
            let begun = now
            let answer = ControlResponder(link: LinkID(rawValue: 1 << 30 + number), stream: 1)
            while now - begun < .seconds(5) {
                if take(count, for: answer, of: source) { return now - begun }
                step()
            }
            return nil
        }
    }

    /// The `number`th /56 from 2001:db8:: on; 256 of them are a /48.
    private func subscriber(_ number: Int) -> LinkSource {
        .client(AddressShare(IPAddress(high: 0x2001_0db8_0000_0000 + UInt64(number) << 8, low: 1)))
    }

    private func network(_ number: Int) -> LinkSource {
        .client(AddressShare(IPAddress(v4: 0x0c00_0000 + UInt32(number) << 8)))
    }

    private func node(_ number: UInt8) -> LinkSource {
        .node(Bytes32(copying: [UInt8](repeating: number, count: 32).rawSpan))
    }

    @Test(
        "s24: readers of one network, or of twenty, that hold all memory and read on give way to a newcomer's answer",
        arguments: [(1, false), (8, false), (20, false), (256, false), (1_000, false), (20, true)])
    func s24_networks(sources: Int, areNetworks: Bool) {
        let flood = (0..<sources).map { areNetworks ? network($0) : subscriber($0) }
        var bench = Flood(flood)
        for _ in 0..<40 { bench.step() }
        let newcomers = [network(5_000), network(5_001), node(1), node(2), client(5_000), client(10_000)]
        for (number, newcomer) in newcomers.enumerated() {
            let waited = bench.wait(of: newcomer, number % 2 == 0 ? 3 << 20 : 15 << 20, for: UInt32(number))
            #expect(waited == .zero, "newcomer \(number)")
        }
        #expect(bench.memory.bytes <= 256 << 20)
    }

    @Test("s24: in a network, too, a newcomer's answer takes memory of a source that reads several")
    func s24_newcomerOfANetwork() {
        var bench = Flood((0..<20).map(subscriber))
        for _ in 0..<40 { bench.step() }
        for number in 0..<4 { #expect(bench.wait(of: subscriber(100 + number), 3 << 20, for: UInt32(number)) == .zero) }
    }

    @Test("s24: the only answer of a network is not disturbed while its peer reads, however many networks ask")
    func s24_onlyAnswers() {
        var bench = Flood((0..<1_000).map(network))
        let reader = client(1)
        #expect(bench.wait(of: reader, 16 << 20, for: 1) == .zero)
        let answer = ControlResponder(link: LinkID(rawValue: 1 << 30 + 1), stream: 1)
        for step in 1...200 {
            bench.memory.moved(answer, sent: step << 16, now: bench.now)
            bench.step()
        }
        let before = bench.memory.bytes
        bench.memory.release(answer)
        #expect(before - bench.memory.bytes == 16 << 20)
    }

    @Test("s24: no answer whose peer reads ends for one that finds no memory all the same") func s24_notInVain() {
        var memory = AnswerMemory<ControlResponder>(bytes: 256 << 20, longest: 16 << 20)
        for number in 0..<15 { #expect(take(&memory, number, network(number), 16 << 20, start)) }
        for number in 15..<18 { #expect(take(&memory, number, network(15), 4 << 20, start)) }
        let before = memory.bytes
        #expect(!take(&memory, 20, network(20), 16 << 20, start) && memory.bytes == before)
        #expect(take(&memory, 21, network(21), 8 << 20, start))
    }

    // MARK: Lengths

    @Test("what is short is not counted, and what is longer than all there is is refused") func lengths() {
        var memory = AnswerMemory<ControlResponder>(bytes: 1 << 20, longest: 16 << 20)
        #expect(take(&memory, 1, client(1), 64 << 10, start) && memory.bytes == 0)
        #expect(!take(&memory, 2, client(1), 2 << 20, start) && memory.bytes == 0)
        #expect(take(&memory, 3, client(1), (64 << 10) + 1, start) && memory.bytes == 128 << 10)
        memory.release(responder(3))
        memory.release(responder(3))
        #expect(memory.bytes == 0)
    }
}
