/// The results of a relay's tests of other nodes.
public struct WatchingReport: Codable, Equatable, Sendable {
    /// Nodes that are tested, and those of them that seem dead.
    public var watched: Int, dead: Int
    /// Tests that were begun, passed and failed.
    public var tests: UInt64, passed: UInt64, failed: UInt64
    /// The median and the longest time to the answer of the last hundred passed tests, in milliseconds.
    public var median: Double?, longest: Double?
    /// Votes that this node has cast, and verdicts that it has handed in.
    public var votes: UInt64, verdicts: UInt64
    /// The time since the last client or test, in seconds.
    public var sinceClient: Double

    enum CodingKeys: String, CodingKey {
        case watched, dead, tests, passed, failed, votes, verdicts
        case median = "median_ms"
        case longest = "longest_ms"
        case sinceClient = "since_client_s"
    }

    /// A report of these values; times are kept to 1 µs and 0.1 s.
    public init(
        watched: Int, dead: Int, tests: UInt64, passed: UInt64, failed: UInt64, median: Double?, longest: Double?,
        votes: UInt64, verdicts: UInt64, sinceClient: Double
    ) {
        self.watched = watched
        self.dead = dead
        self.tests = tests
        self.passed = passed
        self.failed = failed
        self.median = median.map { rounded($0, decimals: 3) }
        self.longest = longest.map { rounded($0, decimals: 3) }
        self.votes = votes
        self.verdicts = verdicts
        self.sinceClient = rounded(sinceClient, decimals: 1)
    }
}
