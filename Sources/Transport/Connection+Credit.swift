internal import BasicContainers
internal import Wire

/// The credit of all streams together, and the removal of unread streams.
extension Connection {
    /// The limit of unread and granted bytes of all streams together.
    var receiveCap: UInt64 { UInt64(max(configuration.maxConnectionWindow, InitialLimits.data)) }

    /// The number of bytes that streams hold unread.
    var unreadBytes: UInt64 { receivedData - consumedData }

    /// Whether unread bytes are so many that unread streams must be reset.
    var isCrowded: Bool { unreadBytes > receiveCap / 4 * 3 }

    /// Returns to the connection the credit of bytes that will not be read.
    mutating func discard(_ slot: Int) {
        let dropped = streams[slot].receive.discard()
        discardedData += dropped
        consumed(Int(dropped))
    }

    mutating func consumed(_ count: Int) {
        guard count > 0 else { return }
        consumedData += UInt64(count)
        grantData()
    }

    /// Grants a window beyond the received bytes, read or not, so that an unread stream stops only itself; within the
    /// limit.
    mutating func grantData() {
        let left = receiveLimit - receivedData
        guard left <= receiveWindow - receiveWindow / 8 else { return }
        let cap = consumedData + receiveCap
        let wanted = receivedData + receiveWindow
        // At the limit, credit is granted in small steps, and only when little is left.
        let step = min(receiveWindow / 8, left < receiveWindow / 4 ? 16 << 10 : .max)
        guard min(wanted, cap) >= receiveLimit + step else { return }
        // The window grows to twice the bytes of a round trip.
        if let lastGrant, clock - lastGrant < tuningRoundTrip / 4 {
            receiveWindow = min(receiveWindow * 2, receiveCap)
        }
        lastGrant = clock
        receiveLimit = max(receiveLimit, min(receivedData + receiveWindow, cap))
        maxDataWanted = true
    }

    /// The round trip by which windows are tuned; at least 10 ms, because scheduling noise makes smaller values
    /// meaningless.
    var tuningRoundTrip: TimeSpan {
        guard let active, let position = find(active) else { return .milliseconds(50) }
        return max(legs[position].roundTrip.smoothed, .milliseconds(10))
    }

    // MARK: Unread streams

    private static let resetInterval = TimeSpan.milliseconds(100)

    /// When to check next for unread streams.
    var reliefDeadline: Instant? {
        guard isCrowded else { return nil }
        return (lastReset ?? clock) + Self.resetInterval
    }

    /// Resets unread streams whose grace is over, the largest first, until the connection is no longer crowded.
    mutating func resetStalledStreams() {
        if let lastReset, clock - lastReset < Self.resetInterval { return }
        lastReset = clock
        while isCrowded, let slot = largestUnread() { abandon(slot) }
    }

    private func largestUnread() -> Int? {
        var largest: Int?
        var most = 0
        var slot = 0
        while slot < streams.count {
            // Bytes behind a hole cannot be read, so they do not make a stream unread.
            if streams[slot].isUsed, streams[slot].receive.held > most, streams[slot].receive.readable > 0,
                clock - streams[slot].receive.waitingSince >= configuration.unreadGrace
            {
                most = streams[slot].receive.held
                largest = slot
            }
            slot += 1
        }
        return largest
    }

    /// Drops a stream's held bytes and all that still come, and tells the application and the peer.
    private mutating func abandon(_ slot: Int) {
        let isEnded = streams[slot].receive.finalSize != .max
        streams[slot].receive.abandon(pool: &pool)
        discard(slot)
        streams[slot].signals.remove(.readable)
        signal(slot, .reset)
        if !isEnded {
            streams[slot].stopCode = StreamCode.unread
            queueControl(slot, .stopSending)
        }
        closeIfDone(slot)
    }
}
