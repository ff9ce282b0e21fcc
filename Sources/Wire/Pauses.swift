/// Sources that have failed; each is paused for a time that doubles with each failure in a row.
///
/// The number of sources is bounded: when it is full, the one whose pause ends first is removed. Times are milliseconds
/// of any one clock.
public struct Pauses<Source: Hashable & Sendable>: Sendable {
    private struct Failure: Sendable {
        var pause: UInt64
        var until: UInt64
    }

    /// The pause after the first failure, in milliseconds.
    public let first: UInt64
    /// The longest pause, in milliseconds.
    public let longest: UInt64
    /// The most sources that are remembered.
    public let capacity: Int
    private var failures: [Source: Failure] = [:]

    /// No failures yet; pauses of `first` to `longest` milliseconds, for at most `capacity` sources.
    public init(first: UInt64, longest: UInt64, capacity: Int) {
        precondition(first > 0 && first <= longest && capacity > 0, "pauses have a length and a place")
        self.first = first
        self.longest = longest
        self.capacity = capacity
    }

    /// How many sources are remembered.
    public var count: Int { failures.count }

    /// Whether `source` is paused at `now`.
    public func isPaused(_ source: Source, now: UInt64) -> Bool { failures[source].map { now < $0.until } ?? false }

    /// Whether `source` has failed since it last delivered.
    public func hasFailed(_ source: Source) -> Bool { failures[source] != nil }

    /// `source` has failed at `now`.
    public mutating func failed(_ source: Source, now: UInt64) {
        let last = failures[source]?.pause
        if last == nil, failures.count >= capacity, let oldest = failures.min(by: { $0.value.until < $1.value.until }) {
            failures[oldest.key] = nil
        }
        let pause = last.map { $0 > longest / 2 ? longest : $0 * 2 } ?? first
        let (until, overflow) = now.addingReportingOverflow(pause)
        failures[source] = Failure(pause: pause, until: overflow ? .max : until)
    }

    /// `source` has delivered: its failures are removed.
    public mutating func delivered(_ source: Source) { failures[source] = nil }
}
