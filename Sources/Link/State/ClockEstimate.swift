public import Wire

/// The wall clock of a client: the machine's own, unless several operators' nodes agree that it is wrong.
///
/// A node's time is an *opinion*. Only the newest opinion of each operator counts, and only the last seven. Opinions
/// within a minute of each other are a *group*. The median of the largest group replaces the own clock's time if all of
/// this holds:
///
/// - The group has at least three opinions.
/// - It has more opinions than all others and the own clock together.
/// - It differs from the own clock by more than five minutes.
/// - It differs by at most a day, or at most 366 days if five operators are in the group, or all of a network with
///   three or four.
public struct ClockEstimate: Sendable {
    /// How many opinions count.
    public static let kept = 7
    /// How many operators' opinions can move the clock.
    public static let agreeing = 3
    /// How many can move it by more than ``nearStep``, unless the network has fewer.
    public static let agreeingFar = 5
    /// The largest distance between opinions of one group, in seconds.
    public static let spread: Int64 = 60
    /// An own clock that is wrong by at most this many seconds is not corrected.
    public static let leeway: Int64 = 300
    /// The largest correction by three operators, in seconds.
    public static let nearStep: Int64 = 86_400
    /// The largest correction by any number of operators, in seconds; an opinion beyond it is refused.
    public static let farStep: Int64 = 366 * 86_400

    /// The opinions, each as seconds since 1970 at the zero of the monotonic clock; may be negative.
    private var opinions: [(from: Bytes32, offset: Int64)] = []
    /// The operators whose last opinion was more than a year off.
    private var refused: [Bytes32] = []
    /// The time of the last group with enough opinions, as in `opinions`.
    private var agreed: Int64?
    /// The number of operators in the network; if it is below ``agreeingFar``, it replaces that number, but is at least
    /// ``agreeing``.
    public var operators = Int.max

    /// An estimate without opinions, for any number of operators until ``operators`` is set.
    public init() {}

    /// How many operators' opinions there are.
    public var sources: Int { opinions.count }
    /// How many operators' last opinion was more than a year off.
    public var refusals: Int { refused.count }

    /// Adds the time that a node of the operator `from` reported at the moment `elapsed`, when the own clock showed
    /// `own`.
    ///
    /// A time more than a year from the present one is refused, unless it is within a year of the own clock. Otherwise
    /// operators that have moved the present time by a year could have correct opinions refused.
    public mutating func add(_ time: UnixTime, from: Bytes32, own: UnixTime, at elapsed: Instant) {
        opinions.removeAll { $0.from == from }
        refused.removeAll { $0 == from }
        let present = Self.bounded(self.time(own: own, at: elapsed))
        let said = Self.bounded(time)
        guard min(Self.distance(said, present), Self.distance(said, Self.bounded(own))) <= Self.farStep else {
            refused.append(from)
            if refused.count > Self.kept { refused.removeFirst() }
            return
        }
        opinions.append((from, said - Self.seconds(elapsed)))
        if opinions.count > Self.kept { opinions.removeFirst() }
        settle(Self.bounded(own) - Self.seconds(elapsed))
    }

    /// The time at the moment `elapsed`, when the own clock shows `own`.
    public func time(own: UnixTime, at elapsed: Instant) -> UnixTime {
        guard let agreed else { return own }
        let network = max(0, agreed + Self.seconds(elapsed))
        let isRight = Self.distance(Self.bounded(own), network) <= Self.leeway
        return isRight ? own : UnixTime(seconds: UInt64(network))
    }

    /// The median of the opinions at the moment `elapsed`, the earlier of two; nil without any.
    ///
    /// One liar can move it. Use it for messages to people, and for decisions that an error only delays.
    public func opinion(at elapsed: Instant) -> UnixTime? {
        guard !opinions.isEmpty else { return nil }
        let median = opinions.map(\.offset).sorted()[(opinions.count - 1) / 2]
        return UnixTime(seconds: UInt64(max(0, median + Self.seconds(elapsed))))
    }

    /// Whether an operator's opinion differs from ``time(own:at:)``, so that more opinions are needed.
    public func isDisputed(own: UnixTime, at elapsed: Instant) -> Bool {
        let present = Self.bounded(time(own: own, at: elapsed))
        return !refused.isEmpty
            || opinions.contains { Self.distance($0.offset + Self.seconds(elapsed), present) > Self.leeway }
    }

    // MARK: Agreement

    /// Looks for the largest group; `own` is the own clock as an offset.
    private mutating func settle(_ own: Int64) {
        let sorted = opinions.map(\.offset).sorted()
        var best: (count: Int, middle: Int64, hasOwn: Bool) = (0, own, true)
        for first in sorted.indices {
            let group = sorted[first...].prefix { $0 - sorted[first] <= Self.spread }
            let middle = group[first + (group.count - 1) / 2]
            let hasOwn = Self.distance(middle, own) <= Self.leeway
            let votes = group.count + (hasOwn ? 1 : 0)
            if votes > best.count + (best.hasOwn ? 1 : 0) { best = (group.count, middle, hasOwn) }
        }
        if best.hasOwn {
            // Opinions that contradict the own clock must outvote it. Three that confirm it are kept, for when it
            // jumps.
            if best.count >= Self.agreeing {
                agreed = best.middle
            } else if best.count > 0, (best.count + 1) * 2 > sorted.count + 1 {
                agreed = nil
            }
            return
        }
        let others = sorted.count - best.count + 1
        guard best.count >= Self.agreeing, best.count > others else { return }
        let isFar = best.count >= min(Self.agreeingFar, max(Self.agreeing, operators))
        guard Self.distance(best.middle, own) <= (isFar ? Self.farStep : Self.nearStep) else { return }
        agreed = best.middle
    }

    private static func seconds(_ elapsed: Instant) -> Int64 { Int64(elapsed.nanoseconds / 1_000_000_000) }

    /// A time in seconds, limited to the year 9999 so that sums and differences do not overflow.
    private static func bounded(_ time: UnixTime) -> Int64 { Int64(min(time.seconds, 253_402_300_800)) }

    private static func distance(_ a: Int64, _ b: Int64) -> Int64 { abs(a - b) }
}
