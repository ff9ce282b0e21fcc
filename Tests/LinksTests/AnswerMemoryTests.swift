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

    @Test("s24: an address that does not read holds its share, and gives that up", arguments: [1, 20, 1_000])
    func s24_shares(addresses: Int) {
        var memory = AnswerMemory<ControlResponder>(bytes: 256 << 20, longest: 16 << 20)
        var now = start
        for number in 1...2_000 {
            _ = take(&memory, number, client(number % addresses), 3 << 20, now)
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
