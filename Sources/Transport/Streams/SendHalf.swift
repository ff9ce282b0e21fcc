internal import Wire

/// The sending half of a stream: bytes from the application until the peer has acknowledged them.
struct SendHalf: ~Copyable {
    enum Phase: UInt8 {
        /// The half accepts bytes.
        case open
        /// The application has finished.
        case finished
        /// The half is reset; the reset is not acknowledged yet.
        case reset
        /// Every byte and the end, or the reset, is acknowledged.
        case done
    }

    enum Fin: UInt8 { case none, wanted, sent, acknowledged }

    private(set) var phase = Phase.open
    private(set) var fin = Fin.none
    /// The end of the acknowledged bytes in order.
    private(set) var base: UInt64 = 0
    /// The first byte never sent.
    private(set) var next: UInt64 = 0
    /// The end of the written bytes.
    private(set) var end: UInt64 = 0
    /// The limit granted by the peer.
    private(set) var limit: UInt64
    private(set) var resetCode: UInt64 = 0
    /// Whether no packet has carried bytes or the end.
    private(set) var isUnsent = true
    /// Bytes declared lost and not sent again yet.
    private var lost = RangeSet()
    /// Acknowledged bytes above `base`, and how many they are.
    private var acknowledged = RangeSet()
    private var acknowledgedAhead = 0
    private var ring = ByteRing()

    init(limit: UInt64) { self.limit = limit }

    /// How many bytes the half holds, including those acknowledged behind a hole.
    var held: Int { Int(end - base) }
    /// How many bytes are unsent or unacknowledged.
    var pending: Int { held - acknowledgedAhead }
    var memory: Int { ring.capacity + (lost.count + acknowledged.count) * 16 }
    var isOpen: Bool { phase == .open }
    var isDone: Bool { phase == .done }

    /// How far the peer's limit is beyond the written bytes.
    var limitAhead: Int { limit > end ? Int(clamping: limit - end) : 0 }
    /// Whether there is something to send that needs no credit of the connection.
    var hasUrgent: Bool { !lost.isEmpty || (fin == .wanted && next == end && isLive) }
    var hasNew: Bool { next < end && next < limit && isLive }
    var canSend: Bool { hasUrgent || hasNew }
    private var isLive: Bool { phase == .open || phase == .finished }

    mutating func write(_ bytes: RawSpan, pool: inout BytePool) {
        ring.write(bytes, at: end, keeping: base, pool: &pool)
        end += UInt64(bytes.byteCount)
    }

    mutating func finish() {
        guard phase == .open else { return }
        phase = .finished
        fin = .wanted
    }

    /// Drops everything; false if there is nothing to reset.
    mutating func reset(code: UInt64, pool: inout BytePool) -> Bool {
        guard isLive else { return false }
        phase = .reset
        resetCode = code
        // The final size is the number of bytes sent so far: no more follow.
        lost.removeAll()
        acknowledged.removeAll()
        acknowledgedAhead = 0
        ring.release(to: &pool)
        end = next
        base = next
        return true
    }

    mutating func resetAcknowledged() {
        if phase == .reset { phase = .done }
    }

    mutating func raise(limit new: UInt64) -> Bool {
        guard new > limit else { return false }
        limit = new
        return true
    }

    /// The next run to send, at most `room` bytes, with new bytes within `credit`.
    func nextRun(room: Int, credit: UInt64) -> (offset: UInt64, count: Int, isNew: Bool, fin: Bool)? {
        if let run = lost.first {
            let count = min(room, Int(run.high - run.low))
            guard count > 0 else { return nil }
            let ends = run.low + UInt64(count) == end && next == end && fin == .wanted
            return (run.low, count, false, ends)
        }
        guard isLive else { return nil }
        let allowed = min(end, limit)
        let available = next < allowed ? min(allowed - next, credit) : 0
        let count = min(UInt64(room), available)
        let ends = next + count == end && fin == .wanted
        guard count > 0 || ends else { return nil }
        return (next, Int(count), true, ends)
    }

    /// The offset at which the next frame will start.
    var nextOffset: UInt64 { lost.first?.low ?? next }

    /// Copies a run into the packet.
    func copy(offset: UInt64, count: Int, into payload: inout MutableRawSpan, at position: Int) {
        ring.read(at: offset, count: count, into: &payload, at: position)
    }

    mutating func sent(offset: UInt64, count: Int, isNew: Bool, fin ends: Bool) {
        isUnsent = false
        if isNew { next += UInt64(count) } else { lost.remove(offset, offset + UInt64(count)) }
        if ends { fin = .sent }
    }

    mutating func acknowledge(offset: UInt64, count: Int, fin ends: Bool, pool: inout BytePool) {
        guard isLive else { return }
        let high = offset + UInt64(count)
        if count > 0, high > base {
            if !lost.isEmpty { lost.remove(offset, high) }
            if offset <= base {
                base = high
                while let run = acknowledged.first, run.low <= base {
                    base = max(base, run.high)
                    acknowledgedAhead -= Int(run.high - run.low)
                    acknowledged.remove(run.low, run.high)
                }
            } else {
                acknowledgedAhead += Int(acknowledged.insert(offset, high))
            }
            if base == end { ring.release(to: &pool) }
        }
        if ends { fin = .acknowledged }
        if fin == .acknowledged && base == end {
            phase = .done
            lost.removeAll()
        }
    }

    mutating func lose(offset: UInt64, count: Int, fin ends: Bool) {
        guard isLive else { return }
        var low = max(offset, base)
        let high = offset + UInt64(count)
        if low < high {
            // Bytes that another packet has delivered need not be sent again.
            for run in acknowledged.overlapping(low, high) {
                if run.low > low { lost.insert(low, run.low) }
                low = max(low, run.high)
            }
            if low < high { lost.insert(low, high) }
        }
        if ends, fin == .sent { fin = .wanted }
    }

    mutating func release(to pool: inout BytePool) { ring.release(to: &pool) }
}
