public import Swarm
public import Wire

/// The time and counter that order the descriptors of one instance in one period.
public struct DescriptorStamp: Comparable, Hashable, Sendable {
    /// When it was made by network time, in minutes since 1970; a multiple of 10.
    public let created: UInt32
    /// Orders descriptors of the same `created`; the higher one is newer.
    public let counter: UInt8

    /// A stamp; `created` is rounded down to a multiple of 10.
    public init(created: UInt32, counter: UInt8) {
        self.created = created - created % SwarmLimits.rangeMinutes
        self.counter = counter
    }

    /// Whether a descriptor of `a` gives way to one of `b`.
    public static func < (a: DescriptorStamp, b: DescriptorStamp) -> Bool {
        (a.created, a.counter) < (b.created, b.counter)
    }
}

/// The version of a descriptor: its stamp, and the item's id between equal stamps.
public struct DescriptorVersion: Hashable, Sendable {
    /// The time and counter of the descriptor.
    public let stamp: DescriptorStamp
    /// The item's id, which decides between equal stamps.
    public let id: ItemID

    /// Whether `other` counts before this one: the greater stamp, of equal ones the smaller id.
    func isBehind(_ other: DescriptorVersion) -> Bool {
        stamp == other.stamp ? other.id < id : stamp < other.stamp
    }
}

/// The stamps of an instance's descriptors in one period: each is greater than the one before.
///
/// Nothing of it is kept on the disk. After a restart, a refusal by a replica names the stamp to go on from.
public struct DescriptorStamps: Sendable {
    private var last: DescriptorStamp?

    /// Begins without a stamp, as after each start of the process.
    public init() {}

    /// The next stamp, at network time `now`.
    ///
    /// The counter starts at random, so that it does not tell how long the process has run.
    public mutating func next(at now: UnixTime, random: inout some RandomNumberGenerator) -> DescriptorStamp {
        let start = UInt8.random(in: 0..<ServiceLimits.counterStart, using: &random)
        var stamp = DescriptorStamp(created: now.minutes, counter: start)
        if let last, last.created >= stamp.created {
            let (later, overflows) = last.created.addingReportingOverflow(SwarmLimits.rangeMinutes)
            stamp =
                last.counter < .max
                ? DescriptorStamp(created: last.created, counter: last.counter + 1)
                : DescriptorStamp(created: overflows ? .max : later, counter: start)
        }
        last = stamp
        return stamp
    }

    /// Continues after the stamp that a replica's refusal names.
    ///
    /// Returns false and changes nothing if the stamp is too far ahead of network time. Otherwise a replica that lies
    /// could lead the service to stamps that no replica accepts.
    public mutating func goOn(from stamp: DescriptorStamp, at now: UnixTime) -> Bool {
        let created = now.minutes
        guard stamp.created <= created || stamp.created - created <= ServiceLimits.leadAhead else { return false }
        if let last, stamp <= last { return true }
        last = stamp
        return true
    }

    /// Forgets stamps that no replica can hold, since they are further ahead of network time than replicas accept.
    ///
    /// Such stamps were given while the clock was ahead. Without this the next ones would be refused until time has
    /// come up to them.
    mutating func forgetIfUnstorable(at now: UnixTime) {
        if let last, last.created.after(now.minutes) > ServiceLimits.ahead { self.last = nil }
    }
}

extension UnixTime {
    /// Whole minutes since 1970; saturates.
    var minutes: UInt32 { UInt32(clamping: seconds / 60) }
}

extension UInt32 {
    /// How many minutes this one is after `other`; 0 if it is before.
    func after(_ other: UInt32) -> UInt32 { self > other ? self - other : 0 }
}
