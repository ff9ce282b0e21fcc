public import Wire

/// The packets by which a test measures a path, and the result of their acknowledgements.
///
/// They are sent in groups over an eighth of the round trip. Only acknowledged packets count. The path's own delay is
/// the shortest round trip of all packets. A node that holds back the packet before the burst therefore only makes the
/// burst longer, and gains nothing.
public struct Burst: Sendable {
    /// How many packets a burst has: 89 kB at the usual size.
    public static let packets = 64
    /// How many of them are sent at once.
    public static let group = 8

    /// The time between two groups.
    private let step: TimeSpan
    private var shortest: TimeSpan
    /// When each packet was sent.
    private var sent: [Instant] = []
    /// Bit n: packet n was acknowledged.
    private var acknowledged: UInt64 = 0
    private var last: Instant

    /// A burst that begins now, after a packet with the round trip `roundTrip`.
    public init(roundTrip: TimeSpan, now: Instant) {
        step = TimeSpan(nanoseconds: max(0, roundTrip.nanoseconds) / 8 / Int64(Self.packets / Self.group))
        shortest = roundTrip
        last = now
    }

    /// When to send the next packets, as many as complete a group; nil after the last.
    public var nextGroup: Instant? {
        guard sent.count < Self.packets else { return nil }
        return sent.first.map { $0 + step * Int64(sent.count / Self.group) } ?? last
    }

    /// Whether the packets sent so far complete a group.
    public var isGroupComplete: Bool { sent.count.isMultiple(of: Self.group) }

    /// Records that the next packet was sent.
    public mutating func packetSent(_ now: Instant) {
        precondition(sent.count < Self.packets, "a burst has \(Self.packets) packets")
        sent.append(now)
    }

    /// Records that packets `low` to `high` were acknowledged, counted from the burst's first; ignores others.
    public mutating func packetsAcknowledged(_ low: UInt64, _ high: UInt64, now: Instant) {
        let end = min(high, UInt64(sent.count) &- 1)
        guard !sent.isEmpty, low <= end else { return }
        for number in Int(low)...Int(end) where acknowledged & 1 << UInt64(number) == 0 {
            acknowledged |= 1 << UInt64(number)
            shortest = min(shortest, now - sent[number])
            last = now
        }
    }

    /// Whether all packets were sent and acknowledged.
    public var isComplete: Bool { sent.count == Self.packets && acknowledged == .max }

    /// The acknowledged rate in 1,000 bytes a second, for packets of this size.
    public func capacity(packetSize: Int) -> UInt32 {
        guard let first = sent.first, let end = sent.last else { return 0 }
        // No faster than it was sent.
        let time = max(last - first - shortest, end - first, .microseconds(100))
        let bytes = Double(acknowledged.nonzeroBitCount * packetSize)
        return UInt32(clamping: Int(bytes / 1_000 / time.inSeconds))
    }
}
