/// The time for which a service's key is blinded in one way, numbered from 1970 on (protocol.md, section 14.2).
///
/// Its number comes from the time of a trusted snapshot, never from this machine's clock.
public struct TimePeriod: Comparable, Hashable, Sendable {
    /// The number of whole periods from 1970 to its beginning.
    public let number: UInt32

    /// The period with this number.
    public init(number: UInt32) { self.number = number }

    /// The period of a snapshot made at `time`, in a network whose periods have `seconds`; the number saturates.
    public init(of time: UnixTime, seconds: UInt32) {
        number = UInt32(clamping: time.seconds / UInt64(max(seconds, 1)))
    }

    /// Whether `a` comes before `b`.
    public static func < (a: TimePeriod, b: TimePeriod) -> Bool { a.number < b.number }

    /// This period and the one before it: a service publishes under both, and a client takes either.
    ///
    /// So two that are a period apart find each other. Period 0 has none before it.
    public var withPrevious: [TimePeriod] { number == 0 ? [self] : [self, TimePeriod(number: number - 1)] }
}
