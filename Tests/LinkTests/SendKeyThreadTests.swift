import Glibc
import OnionCrypto
import Synchronization
import Testing
import ThreadTesting

@testable import Link

/// Counters of one send key as several threads take them at once.
///
/// They are threads of the system: none waits for another's end, however few cores there are. On one core they change
/// places only where the system or `sched_yield` makes them, so several cores prove more.
@Suite struct SendKeyThreadTests {
    private static let threads = 4
    /// Whoever has had so many runs ends the send key.
    private static let enough = 3_000
    /// The most runs of a thread, should the send key not end.
    private static let most = 10_000

    @Test("counters that several threads take are never the same, and none are taken from a send key that is over")
    func threads() {
        for _ in 0..<3 { round() }
    }

    private func round() {
        let sendKey = LinkSendKey(.chacha20poly1305, .random(), remoteIndex: 4_321)
        let takers = Takers(sendKey, count: Self.threads)
        let threads = (0..<Self.threads).map { number in TestThread { takers.takeAll(number, Self.enough, Self.most) } }
        for thread in threads { thread.join() }
        #expect(sendKey.isOver)
        let taken = takers.results.withLock { $0 }
        #expect(taken.count == Self.threads)
        // Nobody gets another one after its own end of the send key.
        #expect(taken.allSatisfy { $0.runs.count <= Self.enough && $0.late == 0 })
        #expect(taken.contains { $0.runs.count == Self.enough })
        var next: UInt64 = 0
        for run in taken.flatMap(\.runs).sorted(by: { $0.lowerBound < $1.lowerBound }) {
            // All that was taken before the end leaves no gap.
            guard run.lowerBound == next else {
                Issue.record("\(run) after \(next)")
                break
            }
            next = run.upperBound
        }
    }
}

/// Threads that take counters of one send key, and what they got.
private final class Takers: Sendable {
    struct Taken {
        var runs: [Range<UInt64>] = []
        /// How many runs it got after it had found the send key over.
        var late = 0
    }

    let results = Mutex<[Taken]>([])
    private let sendKey: LinkSendKey
    private let count: Int
    private let arrived = Atomic(0)

    init(_ sendKey: LinkSendKey, count: Int) {
        self.sendKey = sendKey
        self.count = count
    }

    /// Takes runs of different lengths until the send key gives none.
    func takeAll(_ number: Int, _ enough: Int, _ most: Int) {
        let sender = LinkSender(sendKey, sole: false)
        var taken = Taken()
        taken.runs.reserveCapacity(most)
        // All begin together.
        arrived.add(1, ordering: .acquiringAndReleasing)
        while arrived.load(ordering: .acquiring) < count { sched_yield() }
        var length = number
        while taken.runs.count < most {
            length = length % 7 + 1
            guard let first = sender.takeCounters(length) else { break }
            taken.runs.append(first..<first + UInt64(length))
            if taken.runs.count == enough { sendKey.retire() }
            if taken.runs.count % 64 == 0 { sched_yield() }
        }
        for _ in 0..<100 where sender.takeCounters(1) != nil { taken.late += 1 }
        let result = taken
        results.withLock { $0.append(result) }
    }
}
