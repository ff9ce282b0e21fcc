public import Wire

/// The wall clock of a client: the machine's own, unless several operators' nodes agree that it is wrong.
///
/// A node's time is an *opinion*. One operator has one opinion, its newest; the last seven count. Opinions within a minute of
/// each other are a *group*. A group puts its time in place of the own clock's when all of this holds:
///
/// - it has the opinions of at least three operators,
/// - it has more of them than all others and the own clock together,
/// - it differs from the own clock by a day at most, or, with five operators or all of a small network, by a year at most.
///
/// An own clock that is within five minutes of the group stands. Nothing here is kept across restarts.
///
/// Opinions are kept against a clock that runs on while the machine sleeps and that nobody can set. So they hold after the own
/// clock has jumped, and an agreement that was found before goes on.
public struct ClockEstimate: Sendable {
    /// How many opinions count.
    public static let kept = 7
    /// How many operators it takes to move the clock.
    public static let agreeing = 3
    /// How many it takes to move it by more than ``nearStep``, unless the network has fewer.
    public static let agreeingFar = 5
    /// How far opinions of one group lie apart at most, in seconds.
    public static let spread: Int64 = 60
    /// By how much the own clock may be wrong without being moved, in seconds.
    public static let leeway: Int64 = 300
    /// By how much three operators may move the clock, in seconds.
    public static let nearStep: Int64 = 86_400
    /// By how much anyone may, in seconds; an opinion beyond that is refused.
    public static let farStep: Int64 = 366 * 86_400

    /// Seconds since 1970 at the zero of the clock that runs on, as each operator had it; may be negative.
    private var opinions: [(from: Bytes32, offset: Int64)] = []
    /// The operators whose last opinion was more than a year off.
    private var refused: [Bytes32] = []
    /// What the last group said that had enough opinions, as in `opinions`.
    private var agreed: Int64?
    /// How many operators the network has; less than ``agreeingFar`` of them suffice where it has no more.
    public var operators = Int.max

    /// No opinions yet.
    public init() {}

    /// How many operators' opinions there are.
    public var sources: Int { opinions.count }
    /// How many operators' last opinion was more than a year off.
    public var refusals: Int { refused.count }

    /// Notes what a node of the operator `from` said at the moment `elapsed`, when the own clock said `own`.
    ///
    /// A time that is more than a year from the present one is refused, unless it is that near to the own clock: who has moved the
    /// present one by a year could have the others refused.
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

    /// The time at the moment `elapsed`, when the own clock says `own`.
    public func time(own: UnixTime, at elapsed: Instant) -> UnixTime {
        guard let agreed else { return own }
        let network = max(0, agreed + Self.seconds(elapsed))
        let isRight = Self.distance(Self.bounded(own), network) <= Self.leeway
        return isRight ? own : UnixTime(seconds: UInt64(network))
    }

    /// What the opinions say at the moment `elapsed`: their median, of two the earlier; nil without any.
    ///
    /// For messages to people, and for what may only come later than it should; one liar can move it.
    public func opinion(at elapsed: Instant) -> UnixTime? {
        guard !opinions.isEmpty else { return nil }
        let median = opinions.map(\.offset).sorted()[(opinions.count - 1) / 2]
        return UnixTime(seconds: UInt64(max(0, median + Self.seconds(elapsed))))
    }

    /// Whether an operator's opinion differs from what ``time(own:at:)`` says, so that more are worth asking for.
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
            // What contradicts the own clock is outvoted. Three who bear it out are kept, for when it jumps.
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

    /// The seconds of a time, at most those of the year 9999, so that sums and differences do not overflow.
    private static func bounded(_ time: UnixTime) -> Int64 { Int64(min(time.seconds, 253_402_300_800)) }

    private static func distance(_ a: Int64, _ b: Int64) -> Int64 { abs(a - b) }
}
