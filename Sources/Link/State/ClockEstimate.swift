public import Wire

/// The wall clock, taken from the nodes that a client links to: the median of what the last few said.
///
/// One lying node moves it only when most of the others agree.
public struct ClockEstimate: Sendable {
    private static let kept = 7
    /// Seconds since 1970 at the monotonic clock's zero, as each of the last nodes had it; may be negative.
    private var offsets: [(node: Bytes32, seconds: Int64)] = []
    /// The machine's own clock at the same zero, as long as no node has spoken.
    private let ownOffset: Int64

    /// The machine's own clock: `wallClock` at the moment `now`.
    public init(wallClock: UnixTime, now: Instant) {
        ownOffset = Int64(clamping: wallClock.seconds) - Int64(now.nanoseconds / 1_000_000_000)
    }

    /// Notes what `node` said at the moment `now`; a node counts once.
    public mutating func add(_ time: UnixTime, from node: Bytes32, now: Instant) {
        offsets.removeAll { $0.node == node }
        // Beyond the year 9999 the number is no time.
        guard time.seconds < 253_402_300_800 else { return }
        offsets.append((node, Int64(time.seconds) - Int64(now.nanoseconds / 1_000_000_000)))
        if offsets.count > Self.kept { offsets.removeFirst() }
    }

    /// How many nodes the estimate rests on.
    public var sources: Int { offsets.count }

    /// The time at the moment `now`.
    public func time(at now: Instant) -> UnixTime {
        let seconds = Int64(now.nanoseconds / 1_000_000_000) + median
        return UnixTime(seconds: UInt64(max(0, seconds)))
    }

    private var median: Int64 {
        guard !offsets.isEmpty else { return ownOffset }
        return offsets.map(\.seconds).sorted()[(offsets.count - 1) / 2]
    }
}
