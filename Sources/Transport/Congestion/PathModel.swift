internal import Wire

/// A model of the path, similar to BBR: its rate and its smallest round trip set the window.
///
/// Delay noise and loss alone do not reduce the window. It is reduced by a queue that stands for some round trips, by
/// more loss than usual behind a queue, and by heavy loss. The model starts by enlarging the window until it sees a
/// queue, and does so again after a rest. Then it probes for more now and then, with growing gain while that succeeds.
/// The round trip counts as at least 2 ms, so that a busy CPU on a fast network is not taken for a slow path.
///
/// It has more members than most types: the estimates, and the state of each phase.
struct PathModel {
    private enum Phase {
        /// The window grows with each acknowledgement until a queue is seen.
        case startup
        /// Nothing is sent until the bytes in flight are no more than fill the path.
        case drain
        case cruise
        /// For one round trip a little more than the rate is sent; in the next one its effect shows.
        case probe
        case probeRoundTrip
    }

    private static let initialPackets = 32
    private static let minimumPackets = 4
    private static let localMinimumPackets = 64
    /// Up to this window start-up doubles it in a round trip; above, where more would be lost, it adds half.
    private static let boldPackets = 256
    private static let probeGain = 1.25
    private static let mostProbeGains = (free: 2.0, queued: 1.5)
    private static let windowGain = 2.0
    private static let queuedWindowGain = 1.5
    /// The round trips between two probes: the least, and the most, when probes meet loss.
    private static let cruiseRounds: UInt64 = 4
    private static let mostCruiseRounds: UInt64 = 32
    /// This many samples of a queue in a row are more than noise.
    private static let lateSamples = 3
    /// A queue that has stood for this many round trips is drained.
    private static let patience = 3
    /// A queue that still stands after this many round trips counts as part of the path.
    private static let lastPatience = 6
    /// The factor for the rate after loss on a shared path, the same as CUBIC's.
    private static let yieldFactor = 0.7
    private static let restRounds: Int64 = 8
    private static let roundTripLifetime = TimeSpan.seconds(10)
    private static let smallestRoundTrip = TimeSpan.milliseconds(2)
    /// The share of lost bytes in a round above which the bytes in flight are limited, and the least share that counts
    /// behind a queue.
    private static let lossLimits = (heavy: 0.08, least: 0.003)

    private let packet: Int
    private var phase = Phase.startup
    private(set) var window: Int
    private(set) var pacingRate: Double

    private var rate = 0.0
    /// When the rate was last measured.
    private var rateTime: Instant?
    private var roundTrip: TimeSpan?
    private var roundTripTime = Instant(nanoseconds: 0)

    /// Measurements of this round, which lasts a round trip, and at least until a packet sent after `roundEnd` is
    /// acknowledged.
    private var round = Round()
    private var roundEnd: UInt64 = 0
    /// How many samples in a row showed a queue.
    private var late = 0
    private var queuedRounds = 0

    private var fullRate = 0.0
    private var fullRounds = 0

    private var gain = 1.0
    private var probeGain = Self.probeGain
    private var roundsLeft: UInt64 = 0
    private var cruiseRounds = Self.cruiseRounds
    private var phaseRounds = 0
    /// Whether a queue was seen in the round before.
    private var sawQueue = false
    private var probeLost = false
    /// The share of lost bytes without a queue.
    private var usualLoss = 0.0
    private var random: UInt64

    private var probeEnd: Instant?
    /// The cap set by loss.
    private var cap = Double.infinity

    private struct Round {
        var start = Instant(nanoseconds: 0)
        var rate = 0.0
        var lowest = TimeSpan(nanoseconds: .max)
        var sawQueue = false
        var lost = 0
        var delivered = 0
    }

    init(packetSize: Int, initialRTT: TimeSpan, phase seed: UInt64) {
        packet = packetSize
        window = packetSize * Self.initialPackets
        pacingRate = Double(window) / max(initialRTT.inSeconds, 1e-3) * Self.probeGain
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

    /// A round trip above this shows a queue.
    private var queuedRoundTrip: TimeSpan {
        guard let roundTrip else { return TimeSpan(nanoseconds: .max) }
        return roundTrip + max(roundTrip / 16, .milliseconds(5))
    }

    /// Converts to `Int` a number of bytes that depends on the peer's acknowledgements, within 0 and the largest
    /// window.
    private func bytes(_ count: Double) -> Int { Int(min(max(count, 0), CongestionController.largestWindow)) }

    mutating func lost(bytes: Int) { round.lost += bytes }

    mutating func lossWasSpurious(bytes: Int) { round.lost = max(0, round.lost - bytes) }

    /// Sends again with nothing in flight: old measurements count for less, and the model starts anew.
    ///
    /// The rate halves for every eight round trips, or every second if that is longer, without a measurement.
    mutating func resumed(now: Instant, delivered: UInt64) {
        guard let rateTime else { return }
        let half = max((roundTrip ?? .zero) * Self.restRounds, .seconds(1))
        let age = now - rateTime
        guard age >= half else { return }
        let halvings = age.nanoseconds / half.nanoseconds
        rate = halvings < 40 ? rate / Double(UInt64(1) << UInt64(halvings)) : 0
        self.rateTime = now
        if age > Self.roundTripLifetime { roundTrip = nil }
        roundTripTime = now
        cap = .infinity
        cruiseRounds = Self.cruiseRounds
        usualLoss = 0
        window = max(bytes(product), packet * Self.initialPackets)
        pacingRate = max(rate, Double(window) / max(roundTrip ?? .milliseconds(100), .milliseconds(1)).inSeconds)
        enter(.startup, now: now, delivered: delivered)
    }

    mutating func acknowledged(_ sample: AckSample) {
        updateRoundTrip(sample)
        updateRate(sample)
        round.delivered += sample.acknowledged
        if phase == .startup, late >= Self.lateSamples {
            pause(afterLoss: false)
            enter(.drain, now: sample.now, delivered: sample.delivered)
        }
        let length = max(roundTrip ?? .milliseconds(1), .milliseconds(1))
        if sample.now - round.start >= length, sample.priorDelivered >= roundEnd { endRound(sample) }
        if phase == .drain, sample.inFlight <= max(bytes(product), minimumWindow) {
            enter(.cruise, now: sample.now, delivered: sample.delivered)
        }
        updateWindow(sample)
    }

    private mutating func nextRandom() -> UInt64 {
        random ^= random << 13
        random ^= random >> 7
        random ^= random << 17
        return random >> 8
    }

    /// Changes the phase; the new round ends when a packet sent from now on has been acknowledged.
    private mutating func enter(_ next: Phase, now: Instant, delivered: UInt64) {
        phase = next
        gain = 1
        roundEnd = delivered
        late = 0
        phaseRounds = 0
        fullRounds = 0
        fullRate = rate
        round = Round(start: now)
    }

    private mutating func updateRate(_ sample: AckSample) {
        guard let measured = sample.rate else { return }
        if !sample.isAppLimited { rateTime = sample.now }
        guard measured >= rate || !sample.isAppLimited else { return }
        round.rate = max(round.rate, measured)
        rate = max(rate, measured)
    }

    private mutating func endRound(_ sample: AckSample) {
        let seen = round
        let isQueued = seen.lowest.nanoseconds < .max && seen.lowest > queuedRoundTrip
        let total = seen.lost + seen.delivered
        let loss = total > 0 ? Double(seen.lost) / Double(total) : 0
        // The losses of a full queue show one round trip later.
        let isUnusual =
            (seen.sawQueue || sawQueue) && seen.lost >= 2 * packet
            && loss > max(usualLoss * 2, Self.lossLimits.least)
        if !seen.sawQueue, !sawQueue { usualLoss += (loss - usualLoss) / 8 }
        sawQueue = seen.sawQueue
        phaseRounds += 1
        round = Round(start: sample.now)
        updateCap(sample, lost: seen.lost, share: loss)
        switch phase {
        case .startup:
            guard !sample.isAppLimited else { return }
            if rate >= fullRate * 1.25 {
                fullRate = rate
                fullRounds = 0
            } else {
                fullRounds += 1
                if fullRounds >= 3 { enter(.drain, now: sample.now, delivered: sample.delivered) }
            }
        case .cruise: cruise(sample, seen, isQueued: isQueued, isUnusual: isUnusual)
        case .probe:
            probeLost = probeLost || isUnusual
            guard phaseRounds > 1 else {
                gain = 1
                return
            }
            // On a full path a flow with less than half of it grows by more than this, and a flow with more by less.
            let hasGrown = rate >= fullRate * 2 * probeGain / (1 + probeGain)
            let isFirst = probeGain == Self.probeGain
            // After a probe that met loss, the next one waits.
            let goesOn = hasGrown && !probeLost
            if !hasGrown, isFirst, isQueued { rate = fullRate }
            pause(afterLoss: probeLost)
            if goesOn {
                let next = min(
                    probeGain * Self.probeGain, isQueued ? Self.mostProbeGains.queued : Self.mostProbeGains.free)
                enter(.probe, now: sample.now, delivered: sample.delivered)
                setProbe(from: rate, gain: next)
            } else {
                enter(hasGrown ? .cruise : .drain, now: sample.now, delivered: sample.delivered)
            }
        case .drain, .probeRoundTrip: break
        }
    }

    private mutating func cruise(_ sample: AckSample, _ seen: Round, isQueued: Bool, isUnusual: Bool) {
        queuedRounds = isQueued ? queuedRounds + 1 : 0
        roundsLeft = roundsLeft > 0 ? roundsLeft - 1 : 0
        // The first round still has losses that the probe before it has caused.
        if isUnusual, phaseRounds > 1 {
            rate = min(rate, max(seen.rate, rate / 2)) * Self.yieldFactor
            pause(afterLoss: true)
            enter(.drain, now: sample.now, delivered: sample.delivered)
        } else if queuedRounds >= Self.lastPatience {
            queuedRounds = 0
            roundTrip = seen.lowest
            roundTripTime = sample.now
        } else if seen.rate > 0, isQueued, queuedRounds >= Self.patience || seen.rate < rate * 0.75 {
            // Behind a queue, the measured rate is all that the path carries.
            rate = min(rate, seen.rate)
            enter(.drain, now: sample.now, delivered: sample.delivered)
        } else if seen.rate > 0, !isQueued, seen.rate < rate {
            rate -= (rate - seen.rate) / 8
        }
        if phase == .cruise, roundsLeft == 0, !sample.isAppLimited {
            probeLost = false
            enter(.probe, now: sample.now, delivered: sample.delivered)
            setProbe(from: seen.rate > 0 ? min(seen.rate, rate) : rate, gain: Self.probeGain)
        }
    }

    /// Sets a probe, whose growth is measured against `base`.
    private mutating func setProbe(from base: Double, gain next: Double) {
        fullRate = base
        probeGain = next
        gain = next
        cap = .infinity
    }

    /// Sets the time until the next probe: longer after loss, which other flows may have caused.
    private mutating func pause(afterLoss: Bool) {
        cruiseRounds =
            afterLoss ? min(cruiseRounds * 2, Self.mostCruiseRounds) : max(cruiseRounds / 2, Self.cruiseRounds)
        roundsLeft = cruiseRounds + nextRandom() % 4
    }

    private mutating func updateCap(_ sample: AckSample, lost: Int, share: Double) {
        if lost >= 8 * packet, share > Self.lossLimits.heavy {
            // The cap does not fall below what the path has been seen to carry.
            cap = max(min(cap, Double(sample.inFlightBefore)) * 0.85, product * 0.85, Double(packet * 16))
            if phase == .startup { enter(.drain, now: sample.now, delivered: sample.delivered) }
        } else if cap.isFinite {
            cap += max(cap / 32, Double(packet))
            if cap > product * 4 { cap = .infinity }
        }
    }

    private mutating func updateRoundTrip(_ sample: AckSample) {
        let hasExpired = roundTrip != nil && sample.now - roundTripTime > Self.roundTripLifetime
        if let measured = sample.roundTrip {
            if hasExpired || roundTrip.map({ measured <= $0 }) ?? true { roundTrip = measured }
            if roundTrip.map({ measured <= $0 + $0 / 32 }) ?? true { roundTripTime = sample.now }
            round.lowest = min(round.lowest, measured)
            late = measured > queuedRoundTrip ? late + 1 : 0
            if late >= Self.lateSamples { round.sawQueue = true }
        }
        if hasExpired, phase != .probeRoundTrip, !sample.isAppLimited {
            enter(.probeRoundTrip, now: sample.now, delivered: sample.delivered)
            probeEnd = nil
        }
        guard phase == .probeRoundTrip else { return }
        if let probeEnd {
            guard sample.now >= probeEnd else { return }
            roundTripTime = sample.now
            roundsLeft = cruiseRounds
            enter(.cruise, now: sample.now, delivered: sample.delivered)
        } else if sample.inFlight <= max(bytes(product / 2), minimumWindow) {
            probeEnd = sample.now + max(.milliseconds(100), roundTrip ?? .zero)
        }
    }

    private mutating func updateWindow(_ sample: AckSample) {
        switch phase {
        case .startup:
            if !sample.isAppLimited, late == 0 {
                window += window < packet * Self.boldPackets ? sample.acknowledged : sample.acknowledged / 2
                window = min(window, bytes(cap))
            }
            if let roundTrip {
                pacingRate = Double(window) / max(roundTrip, .milliseconds(1)).inSeconds * Self.probeGain
            }
        case .drain: window = bytes(product)
        case .cruise, .probe:
            // Sparse acknowledgements arrive in lumps: a few more packets keep the sender busy between them.
            let most = product * gain * (late >= Self.lateSamples ? Self.queuedWindowGain : Self.windowGain)
            window = min(window + sample.acknowledged, bytes(min(most, cap)) + 8 * packet)
        case .probeRoundTrip: window = min(window, bytes(product / 2))
        }
        window = max(window, minimumWindow)
        if phase != .startup { pacingRate = max(gain * rate, Double(packet)) }
    }
}
