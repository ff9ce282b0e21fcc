internal import Swarm
internal import Wire

/// A service's tests of replicas: each is asked for the descriptor as a client asks, at times that nobody foresees.
///
/// The time between two tests of a replica is memoryless, 30 minutes in the mean. So a replica cannot tell when no test
/// is due, and the guard sees no clock.
struct ReplicaTests {
    /// The first test after a version was stored, in milliseconds.
    private static let first: ClosedRange<Int64> = 10_000...60_000
    private static let meanMinutes = 30
    private static let mostMinutes: Int64 = 240
    /// The least time between two publishings because of tests.
    static let repairs = TimeSpan.seconds(600)

    private var due: [NodeID: Instant] = [:]
    /// The replicas that did not show the newest version.
    private(set) var missing: Set<NodeID> = []
    /// When tests last made the descriptor be published.
    var repaired: Instant?

    var nextDeadline: Instant? { due.values.min() }

    /// A new version is stored.
    mutating func begin(
        of replicas: [NodeID], _ now: Instant, _ random: inout some RandomNumberGenerator
    ) {
        missing = []
        due = [:]
        for replica in replicas { due[replica] = now + .drawn(Self.first, using: &random) }
    }

    /// There is no version to test.
    mutating func stop() {
        due = [:]
        missing = []
    }

    /// The replicas whose test is due, with the time of their next one.
    mutating func next(_ now: Instant, _ random: inout some RandomNumberGenerator) -> [NodeID] {
        let next = due.filter { $0.value <= now }.keys.sorted()
        for replica in next {
            var minutes: Int64 = 0
            while minutes < Self.mostMinutes, Int.random(in: 0..<Self.meanMinutes, using: &random) > 0 { minutes += 1 }
            due[replica] = now + .seconds(60) * minutes + .drawn(1...60_000, using: &random)
        }
        return next
    }

    mutating func showed(_ replica: NodeID) { missing.remove(replica) }
    mutating func hid(_ replica: NodeID) { missing.insert(replica) }
}
