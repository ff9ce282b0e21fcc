/// A length of time in nanoseconds; may be negative.
///
/// All arithmetic saturates, at some 292 years: a peer or a file may contain any time, and none of them may trap.
public struct TimeSpan: Comparable, Hashable, Sendable {
    /// The length in nanoseconds.
    public var nanoseconds: Int64

    /// A length of `nanoseconds`.
    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    /// A length of zero.
    public static let zero = TimeSpan(nanoseconds: 0)

    /// `count` microseconds; saturates.
    public static func microseconds(_ count: Int64) -> TimeSpan { TimeSpan(nanoseconds: 1_000) * count }

    /// `count` milliseconds; saturates.
    public static func milliseconds(_ count: Int64) -> TimeSpan { TimeSpan(nanoseconds: 1_000_000) * count }

    /// `count` seconds; saturates.
    public static func seconds(_ count: Int64) -> TimeSpan { TimeSpan(nanoseconds: 1_000_000_000) * count }

    /// The length in seconds, for display and rates.
    public var inSeconds: Double { Double(nanoseconds) / 1e9 }

    /// The length in milliseconds, for display.
    public var inMilliseconds: Double { Double(nanoseconds) / 1e6 }

    /// Whether `a` is shorter than `b`.
    public static func < (a: TimeSpan, b: TimeSpan) -> Bool { a.nanoseconds < b.nanoseconds }

    /// The sum of both lengths.
    public static func + (a: TimeSpan, b: TimeSpan) -> TimeSpan {
        let (sum, overflows) = a.nanoseconds.addingReportingOverflow(b.nanoseconds)
        return TimeSpan(nanoseconds: overflows ? (b.nanoseconds < 0 ? .min : .max) : sum)
    }

    /// The difference of the lengths.
    public static func - (a: TimeSpan, b: TimeSpan) -> TimeSpan {
        let (difference, overflows) = a.nanoseconds.subtractingReportingOverflow(b.nanoseconds)
        return TimeSpan(nanoseconds: overflows ? (b.nanoseconds < 0 ? .max : .min) : difference)
    }

    /// The length multiplied by `b`.
    public static func * (a: TimeSpan, b: Int64) -> TimeSpan {
        let (product, overflows) = a.nanoseconds.multipliedReportingOverflow(by: b)
        return TimeSpan(nanoseconds: overflows ? ((a.nanoseconds < 0) == (b < 0) ? .max : .min) : product)
    }

    /// The length divided by `b`, rounded towards zero.
    public static func / (a: TimeSpan, b: Int64) -> TimeSpan { TimeSpan(nanoseconds: a.nanoseconds / b) }
}

/// A moment on a monotonic clock with an arbitrary zero: only differences have a meaning.
///
/// All code that measures time takes one as an argument, so tests use a clock of their own. The wall clock is separate
/// (`UnixTime`) and is used only to compare moments between machines.
public struct Instant: Comparable, Hashable, Sendable {
    /// Nanoseconds since the clock's zero.
    public var nanoseconds: UInt64

    /// The moment `nanoseconds` after the clock's zero.
    public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// Whether `a` comes before `b`.
    public static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }

    /// The moment `span` later; saturates at the clock's zero and at its end.
    public static func + (a: Instant, span: TimeSpan) -> Instant {
        if span.nanoseconds >= 0 {
            let (sum, overflows) = a.nanoseconds.addingReportingOverflow(UInt64(span.nanoseconds))
            return Instant(nanoseconds: overflows ? .max : sum)
        }
        let back = span.nanoseconds.magnitude
        return Instant(nanoseconds: a.nanoseconds > back ? a.nanoseconds - back : 0)
    }

    /// The time from `b` to `a`; saturates.
    public static func - (a: Instant, b: Instant) -> TimeSpan {
        let difference = Int64(bitPattern: a.nanoseconds &- b.nanoseconds)
        if (difference < 0) == (a.nanoseconds < b.nanoseconds) { return TimeSpan(nanoseconds: difference) }
        return TimeSpan(nanoseconds: a.nanoseconds < b.nanoseconds ? .min : .max)
    }
}

/// Seconds since 1970 in UTC, as written on the wire.
public struct UnixTime: Comparable, Hashable, Sendable {
    /// Seconds since 1970-01-01T00:00:00Z.
    public var seconds: UInt64

    /// The moment `seconds` after the start of 1970.
    public init(seconds: UInt64) { self.seconds = seconds }

    /// Whether `a` comes before `b`.
    public static func < (a: UnixTime, b: UnixTime) -> Bool { a.seconds < b.seconds }
}

extension UnixTime {
    /// The time for people, to the minute: `2026-11-28 07:21 UTC`.
    public var dateText: String {
        // The days of a year that begins in March, so that a leap day is the last one (Howard Hinnant's
        // days_from_civil).
        let day = seconds / 86_400 + 719_468
        let era = day / 146_097
        let ofEra = day % 146_097
        let year = (ofEra - ofEra / 1_460 + ofEra / 36_524 - ofEra / 146_096) / 365
        let ofYear = ofEra - (365 * year + year / 4 - year / 100)
        let month = (5 * ofYear + 2) / 153
        let ofMonth = ofYear - (153 * month + 2) / 5 + 1
        let civil = month < 10 ? month + 3 : month - 9
        func two(_ number: UInt64) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(year + era * 400 + (civil <= 2 ? 1 : 0))-\(two(civil))-\(two(ofMonth)) "
            + "\(two(seconds % 86_400 / 3_600)):\(two(seconds % 3_600 / 60)) UTC"
    }
}
