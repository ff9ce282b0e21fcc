import Testing
import Wire

@testable import Watch

/// A measured path, on which one node delays or drops packets, or limits their rate.
private struct Link {
    /// The round trip without any wait, in seconds.
    var roundTrip = 0.1
    /// The rate in 1,000 bytes a second.
    var rate = 1_000.0
    /// The delays of the packet before the burst, and of every packet, in seconds.
    var echoDelay = 0.0, delay = 0.0
    /// Whether the path carries the packet with a given number.
    var carries: (Int) -> Bool = { _ in true }

    static let size = 1_392

    /// The capacity that the burst measures, in 1,000 bytes a second, and the time that it took to send it.
    func measured() -> (capacity: Double, span: Double) {
        let echo = roundTrip + Double(Self.size) / rate / 1_000 + delay + echoDelay
        var burst = Burst(roundTrip: TimeSpan(nanoseconds: Int64(echo * 1e9)), now: instant(10))
        var sent: [Double] = []
        while let due = burst.nextGroup {
            repeat {
                burst.packetSent(due)
                sent.append(Double(due.nanoseconds) / 1e9)
            } while !burst.isGroupComplete
        }
        var free = 0.0
        for (number, time) in sent.enumerated() where carries(number) {
            free = max(free, time) + Double(Self.size) / rate / 1_000
            burst.packetsAcknowledged(
                UInt64(number), UInt64(number), now: instant(free + roundTrip + delay))
        }
        return (Double(burst.capacity(packetSize: Self.size)), (sent.last ?? 0) - (sent.first ?? 0))
    }
}

struct BurstTests {
    @Test(arguments: [50.0, 200, 1_000, 4_000])
    func anHonestPathIsMeasuredAtItsRate(_ rate: Double) {
        let (capacity, span) = Link(rate: rate).measured()
        #expect(abs(capacity - rate) < rate / 8, "\(capacity) of \(rate)")
        #expect(span < 0.1 / 7)
    }

    /// The measured rate of a path cannot exceed the rate of the burst.
    @Test func whatIsFasterThanTheBurstIsMeasuredAsTheBurst() {
        let (capacity, span) = Link(rate: 1e6).measured()
        #expect(abs(capacity - Double(64 * Link.size) / 1_000 / span) < 100)
    }

    @Test func s20WhoDropsPacketsIsMeasuredAtThoseThatCame() {
        let whole = Link(rate: 1e6).measured().capacity
        for kept in [0, 7, 31, 63] {
            let one = Link(rate: 1e6, carries: { $0 == kept }).measured().capacity
            #expect(one <= whole / 63, "number \(kept) alone: \(one) of \(whole)")
        }
        let half = Link(rate: 1e6, carries: { $0.isMultiple(of: 2) || $0 == 63 }).measured().capacity
        #expect(half <= whole * 0.52)
        #expect(Link(carries: { _ in false }).measured().capacity == 0)
    }

    @Test(arguments: [0.05, 0.2, 1])
    func s20WhoDelaysTheEchoAloneGainsNothing(_ delay: Double) {
        let rate = 500.0
        let capacity = Link(rate: rate, echoDelay: delay).measured().capacity
        #expect(capacity <= rate * 1.05, "\(capacity)")
    }

    @Test func s20WhoHoldsEverythingBackIsMeasuredByTheBurstThatItMadeLonger() {
        let (capacity, span) = Link(rate: 1e6, delay: 0.9).measured()
        #expect(span > 0.1 && capacity <= Double(64 * Link.size) / 1_000 / 0.1)
    }

    @Test func acknowledgementsOfWhatWasNotSentAreLeftOut() {
        var burst = Burst(roundTrip: .milliseconds(100), now: instant(1))
        burst.packetsAcknowledged(0, .max, now: instant(2))
        #expect(!burst.isComplete && burst.capacity(packetSize: 1_392) == 0)
        for _ in 0..<3 { burst.packetSent(instant(2)) }
        burst.packetsAcknowledged(2, .max, now: instant(3))
        burst.packetsAcknowledged(.max, .max, now: instant(3))
        #expect(burst.capacity(packetSize: 1_000_000) == 1_111)
        #expect(!burst.isComplete)
    }
}
