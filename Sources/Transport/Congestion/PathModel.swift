internal import Wire

/// A model of the path, similar to BBR: the largest delivery rate and the smallest round trip of recent time set the
/// window.
///
/// Delay noise and loss by themselves do not reduce it. It differs from BBR's first version in three ways. Heavy loss
/// (more than `lossLimit` of a round) caps the bytes in flight, as in BBR's second version. A delivery rate counts for
/// at least a second. The round trip counts as at least 2 ms, so that a busy CPU on a fast network is not taken for a
/// slow path.
struct PathModel {
    private enum Phase { case startup, drain, probe, probeRoundTrip }

    private static let startupGain = 2.885
    private static let gains: [Double] = [1.25, 0.75, 1, 1, 1, 1, 1, 1]
    private static let windowGain = 2.0
    private static let rateRounds: UInt64 = 10
    private static let rateLifetime = TimeSpan.seconds(1)
    private static let roundTripLifetime = TimeSpan.seconds(10)
    private static let smallestRoundTrip = TimeSpan.milliseconds(2)
    private static let lossLimit = 0.08
    private static let initialPackets = 32
    private static let minimumPackets = 4
    private static let localMinimumPackets = 64

    private let packet: Int
    private var phase = Phase.startup
    private(set) var window: Int
    private(set) var pacingRate: Double

    /// The largest rates, newest last, in descending order.
    private var rates = Ring<RateSample>()
    private var rate = 0.0
    private var roundTrip: TimeSpan?
    private var roundTripTime = Instant(nanoseconds: 0)

    private var round: UInt64 = 0
    private var roundEnd: UInt64 = 0
    private var isRoundStart = false
    private var roundLost = 0
    private var roundDelivered = 0

    private var fullRate = 0.0
    private var fullRounds = 0
    private var isFull = false

    private var gain = startupGain
    private var gainIndex = 0
    private var gainStart = Instant(nanoseconds: 0)
    private var random: UInt64

    private var probeEnd: Instant?
    private var windowBefore = 0
    /// The cap set by heavy loss.
    private var cap = Double.infinity

    private struct RateSample {
        var rate: Double
        var round: UInt64
        var time: Instant
    }

    init(packetSize: Int, initialRTT: TimeSpan, phase seed: UInt64) {
        packet = packetSize
        window = packetSize * Self.initialPackets
        pacingRate = Double(window) / max(initialRTT.inSeconds, 1e-3) * Self.startupGain
        random = seed | 1
    }

    private var minimumWindow: Int {
        guard let roundTrip, roundTrip < Self.smallestRoundTrip else { return packet * Self.minimumPackets }
        return packet * Self.localMinimumPackets
    }

    /// Bytes that fill the path without a queue.
    private var product: Double {
        guard let roundTrip, rate > 0 else { return Double(packet * Self.initialPackets) }
        return rate * max(roundTrip, Self.smallestRoundTrip).inSeconds
    }

    /// Converts to `Int` a number of bytes that depends on the peer's acknowledgements, within 0 and the largest
    /// window.
    private func bytes(_ count: Double) -> Int { Int(min(max(count, 0), CongestionController.largestWindow)) }

    mutating func lost(bytes: Int) { roundLost += bytes }

    mutating func lossWasSpurious(bytes: Int) { roundLost = max(0, roundLost - bytes) }

    mutating func acknowledged(_ sample: AckSample) {
        countRound(sample)
        updateRate(sample)
        checkFull(sample)
        if phase == .drain, Double(sample.inFlight) <= product { enterProbe(sample.now) }
        if phase == .probe { advanceGain(sample) }
        updateRoundTrip(sample)
        updatePacing(sample)
        updateWindow(sample)
    }

    private mutating func countRound(_ sample: AckSample) {
        roundDelivered += sample.acknowledged
        isRoundStart = sample.priorDelivered >= roundEnd
        guard isRoundStart else { return }
        roundEnd = sample.delivered
        round += 1
        let total = roundLost + roundDelivered
        let share = total > 0 ? Double(roundLost) / Double(total) : 0
        if roundLost >= 8 * packet, share > Self.lossLimit {
            if phase == .startup { isFull = true }
            // Not below the bytes that the path has been seen to carry.
            cap = max(min(cap, Double(window)) * 0.85, product * 0.85, Double(packet * 16))
        } else if cap.isFinite {
            cap += max(cap / 32, Double(packet))
            if cap > product * 4 { cap = .infinity }
        }
        roundLost = 0
        roundDelivered = 0
    }

    private mutating func updateRate(_ sample: AckSample) {
        guard let measured = sample.rate else { return }
        guard measured >= rate || !sample.isAppLimited else { return }
        while !rates.isEmpty, rates[rates.tail - 1].rate <= measured { rates.removeLast() }
        rates.append(RateSample(rate: measured, round: round, time: sample.now))
        while rates.count > 1 {
            let oldest = rates[rates.head]
            guard oldest.round + Self.rateRounds < round, sample.now - oldest.time > Self.rateLifetime else { break }
            _ = rates.popFirst()
        }
        // A fast path gives many samples in a second; the smallest of them can be dropped.
        if rates.count > 64 { rates.removeLast() }
        rate = rates[rates.head].rate
    }

    private mutating func checkFull(_ sample: AckSample) {
        if !isFull, isRoundStart, !sample.isAppLimited {
            if rate >= fullRate * 1.25 {
                fullRate = rate
                fullRounds = 0
            } else {
                fullRounds += 1
                isFull = fullRounds >= 3
            }
        }
        if phase == .startup, isFull {
            phase = .drain
            gain = 1 / Self.startupGain
        }
    }

    private mutating func enterProbe(_ now: Instant) {
        phase = .probe
        random ^= random << 13
        random ^= random >> 7
        random ^= random << 17
        // Start in any phase except the one that drains.
        gainIndex = Int(random % 7)
        if gainIndex >= 1 { gainIndex += 1 }
        gain = Self.gains[gainIndex]
        gainStart = now
    }

    private mutating func advanceGain(_ sample: AckSample) {
        let length = max(roundTrip ?? .milliseconds(1), .milliseconds(1))
        let isOver = sample.now - gainStart > length
        let next: Bool
        if gain > 1 {
            next = isOver && (roundLost > 0 || Double(sample.inFlightBefore) >= gain * product)
        } else if gain < 1 {
            next = isOver || Double(sample.inFlight) <= product
        } else {
            next = isOver
        }
        guard next else { return }
        gainIndex = (gainIndex + 1) % Self.gains.count
        gain = Self.gains[gainIndex]
        gainStart = sample.now
    }

    private mutating func updateRoundTrip(_ sample: AckSample) {
        let hasExpired = roundTrip != nil && sample.now - roundTripTime > Self.roundTripLifetime
        if let measured = sample.roundTrip, hasExpired || roundTrip.map({ measured <= $0 }) ?? true {
            roundTrip = measured
            roundTripTime = sample.now
        }
        if hasExpired, phase != .probeRoundTrip, !sample.isAppLimited {
            phase = .probeRoundTrip
            gain = 1
            windowBefore = window
            probeEnd = nil
        }
        guard phase == .probeRoundTrip else { return }
        if let probeEnd {
            guard sample.now >= probeEnd else { return }
            roundTripTime = sample.now
            window = max(window, windowBefore)
            if isFull {
                enterProbe(sample.now)
            } else {
                phase = .startup
                gain = Self.startupGain
            }
        } else if sample.inFlight <= max(bytes(product / 2), minimumWindow) {
            probeEnd = sample.now + max(.milliseconds(100), roundTrip ?? .zero)
        }
    }

    private mutating func updatePacing(_ sample: AckSample) {
        let measured = gain * rate
        if isFull || measured > pacingRate { pacingRate = max(measured, Double(packet)) }
    }

    private mutating func updateWindow(_ sample: AckSample) {
        let windowGain = phase == .startup || phase == .drain ? Self.startupGain : Self.windowGain
        // Sparse acknowledgements arrive in lumps: a few more packets keep the sender busy between them.
        let target = bytes(min(windowGain * product, cap)) + 8 * packet
        if isFull {
            window = min(window + sample.acknowledged, target)
        } else if window < target || sample.delivered < UInt64(Self.initialPackets * packet) {
            window += sample.acknowledged
        }
        window = max(window, minimumWindow)
        if phase == .probeRoundTrip { window = min(window, max(bytes(product / 2), minimumWindow)) }
    }
}
