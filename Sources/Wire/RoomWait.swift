/// How long to wait before a packet is tried again for which its socket had no room: 5 ms, then twice as long each time, at
/// most 40 ms.
///
/// Nothing tells a sender that a socket has room again, and thousands may wait for one socket.
public struct RoomWait: Sendable {
    private static let times = (first: UInt64(5_000_000), longest: UInt64(40_000_000))
    private var last: UInt64 = 0

    /// No packet waits.
    public init() {}

    /// The next wait in nanoseconds.
    public mutating func next() -> UInt64 {
        last = min(max(last &* 2, Self.times.first), Self.times.longest)
        return last
    }

    /// The socket has taken what was to be sent.
    public mutating func ended() { last = 0 }
}
