internal import Wire

/// The receiving half of a stream: bytes from the peer until the application has consumed them.
struct ReceiveHalf: ~Copyable {
    enum Outcome: Equatable {
        /// `grown` is the credit used up; `readable` is true if new bytes can be read.
        case accepted(grown: UInt64, readable: Bool)
        case tooManyGaps
        case violation(ConnectionError)
    }

    /// The most holes that are kept in one stream.
    static let maxRuns = 512

    /// The first byte not consumed.
    private(set) var consumed: UInt64 = 0
    /// The end of the bytes that can be read in order.
    private(set) var ready: UInt64 = 0
    /// The end of the highest byte received.
    private(set) var highest: UInt64 = 0
    /// The end of the stream, once known; `.max` before.
    private(set) var finalSize = UInt64.max
    /// The limit granted to the peer.
    private(set) var limit: UInt64
    private(set) var window: UInt64
    private(set) var resetCode: UInt64?
    /// Whether the application does not want the rest.
    private(set) var stopped = false
    /// Whether this end abandoned the half because the application did not read it.
    private(set) var isAbandoned = false
    /// Since when the readable bytes have waited without any being consumed.
    private(set) var waitingSince = Instant(nanoseconds: 0)
    private var lastGrant: Instant?
    private var ahead = RangeSet()
    private var ring = ByteRing()

    init(window: UInt64) {
        self.window = window
        limit = window
    }

    var memory: Int { ring.capacity + ahead.count * 16 }
    var readable: Int { stopped || resetCode != nil ? 0 : Int(ready - consumed) }
    /// Bytes of credit used up and not consumed, holes included.
    var held: Int { Int(highest - consumed) }
    /// The code reported to the application for a half that ended early.
    var endCode: UInt64? { isAbandoned ? StreamCode.unread : resetCode }
    /// Whether every byte up to the end has come and been consumed, or the rest is not wanted.
    var isDone: Bool { resetCode != nil || (finalSize != .max && (stopped || consumed == finalSize)) }

    mutating func receive(_ frame: borrowing StreamFrame, pool: inout BytePool, now: Instant) -> Outcome {
        let low = frame.offset
        let high = low + UInt64(frame.data.byteCount)
        if finalSize != .max {
            if high > finalSize || (frame.fin && high != finalSize) { return .violation(.finalSize) }
        } else if frame.fin && high < highest {
            return .violation(.finalSize)
        }
        guard high <= limit else { return .violation(.flowControl) }
        let grown = high > highest ? high - highest : 0
        if resetCode != nil || stopped {
            if frame.fin { finalSize = high }
            highest += grown
            return .accepted(grown: grown, readable: false)
        }
        if low > ready {
            guard high > low || frame.fin else { return .accepted(grown: 0, readable: false) }
            if high > low {
                guard ahead.count < Self.maxRuns || !ahead.wouldAdd(low, high) else { return .tooManyGaps }
                ring.write(frame.data, at: low, keeping: consumed, pool: &pool)
                ahead.insert(low, high)
            }
            if frame.fin { finalSize = high }
            highest += grown
            return .accepted(grown: grown, readable: false)
        }
        let before = ready
        if high > ready {
            if ready == consumed { waitingSince = now }
            let news = frame.data.extracting(Int(ready - low)..<frame.data.byteCount)
            ring.write(news, at: ready, keeping: consumed, pool: &pool)
            ready = high
            while let run = ahead.first, run.low <= ready {
                ready = max(ready, run.high)
                ahead.remove(run.low, run.high)
            }
        }
        let ended = frame.fin && finalSize == .max
        if frame.fin { finalSize = high }
        highest += grown
        return .accepted(grown: grown, readable: ready > before || (ended && ready == finalSize))
    }

    /// Handles the peer's reset; `grown` is the credit that its final size uses up.
    mutating func reset(code: UInt64, finalSize size: UInt64, pool: inout BytePool) -> Outcome {
        if finalSize != .max && size != finalSize || size < highest { return .violation(.finalSize) }
        guard size <= limit else { return .violation(.flowControl) }
        let grown = size - highest
        let isWhole = finalSize != .max && ready == size
        highest = size
        finalSize = size
        // A stream that is complete with its end is reported as finished. Without the end, more bytes may have been
        // intended.
        if resetCode == nil, !isWhole || stopped {
            resetCode = code
            ahead.removeAll()
            ring.release(to: &pool)
        }
        return .accepted(grown: grown, readable: false)
    }

    /// Drops the held bytes and all that still come.
    mutating func stop(pool: inout BytePool) {
        stopped = true
        ahead.removeAll()
        ring.release(to: &pool)
    }

    /// Drops the held bytes and all that still come; the application must then be told.
    mutating func abandon(pool: inout BytePool) {
        isAbandoned = true
        stop(pool: &pool)
    }

    /// Counts everything received as consumed; returns the number of bytes dropped.
    mutating func discard() -> UInt64 {
        let dropped = highest - consumed
        consumed = highest
        ready = max(ready, consumed)
        return dropped
    }

    /// Passes the first contiguous bytes to `body`.
    mutating func read(pool: inout BytePool, now: Instant, _ body: (RawSpan) -> Int) -> Int {
        let available = readable
        guard available > 0 else { return 0 }
        var shown = 0
        let taken = ring.withBytes(at: consumed, count: available) { bytes in
            shown = bytes.byteCount
            return body(bytes)
        }
        precondition(taken >= 0 && taken <= shown, "no more can be consumed than was shown")
        consumed += UInt64(taken)
        if taken > 0 { waitingSince = now }
        if consumed == highest { ring.release(to: &pool) }
        return taken
    }

    /// Raises the limit after consumption; true if the peer must be told: when an eighth of the window is used up.
    ///
    /// The window doubles if that took less than half a round trip. So it becomes four times the bytes of a round trip:
    /// a hole lasts two, and the peer learns of the grant half a round trip later. The window halves if that took very
    /// long.
    mutating func grant(now: Instant, roundTrip: TimeSpan, maxWindow: UInt64) -> Bool {
        guard finalSize == .max, !stopped, resetCode == nil, limit - consumed <= window - window / 8 else {
            return false
        }
        let took = lastGrant.map { now - $0 } ?? .zero
        if took < roundTrip / 2 { window = min(window * 2, max(maxWindow, window)) }
        if took > max(roundTrip * 32, .seconds(2)) { window = max(window / 2, UInt64(InitialLimits.streamData)) }
        lastGrant = now
        limit = max(limit, consumed + window)
        return true
    }

    mutating func release(to pool: inout BytePool) {
        ahead.removeAll()
        ring.release(to: &pool)
    }
}
