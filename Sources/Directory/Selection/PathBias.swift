/// The share of builds through one guard whose path lasted as long as the client wanted it; it reveals a guard that
/// only lets some builds through.
///
/// Counts and thresholds are those of Tor (path-spec, "Path bias"): no level applies below 150 builds, and at 300 both
/// counts are halved. A path that another party ends is subtracted from the successes.
public struct PathBias: Hashable, Sendable {
    /// How suspicious the counts are.
    public enum Level: UInt8, Comparable, Sendable {
        /// Fewer than 70 percent succeeded.
        case notice = 1
        /// Fewer than 50 percent.
        case warning = 2
        /// Fewer than 30 percent.
        case extreme = 3

        /// Whether `a` is less suspicious than `b`.
        public static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }
    }

    /// Builds that got past the guard.
    public private(set) var attempts = 0.0
    /// The successful ones among them, minus the paths that other parties ended.
    public private(set) var successes = 0.0
    private var reported: Level?

    /// No builds yet.
    public init() {}

    init?(attempts: Double, successes: Double) {
        guard successes >= 0, successes <= attempts, attempts <= Self.scaleAt else {
            return nil
        }
        self.attempts = attempts
        self.successes = successes
        reported = level
    }

    private static let leastBuilds = 150.0
    private static let scaleAt = 300.0

    /// The present level; `nil` if the counts are not suspicious or too small.
    public var level: Level? {
        guard attempts >= Self.leastBuilds else { return nil }
        let share = successes / attempts
        return share < 0.3 ? .extreme : share < 0.5 ? .warning : share < 0.7 ? .notice : nil
    }

    /// Counts a build; returns the level if it is worse than the last one.
    mutating func add(succeeded: Bool) -> Level? {
        attempts += 1
        if succeeded { successes += 1 }
        if attempts >= Self.scaleAt {
            attempts /= 2
            successes /= 2
        }
        return news()
    }

    /// Subtracts `amount` from the successes, because a built path ended.
    ///
    /// Returns the level as ``add(succeeded:)`` does.
    mutating func lost(_ amount: Double) -> Level? {
        successes = max(0, successes - amount)
        return news()
    }

    private mutating func news() -> Level? {
        let now = level
        defer { reported = now }
        guard let now else { return nil }
        if let reported, now <= reported { return nil }
        return now
    }
}
