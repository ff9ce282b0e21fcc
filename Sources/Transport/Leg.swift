internal import Wire

/// One leg: its packets, round trip, controller and timers.
///
/// It has more members than most types: each packet reads most of them. Parts with rules of their own are types
/// (`SentLog`, `RoundTrip`, `ReceivedNumbers`).
struct Leg: ~Copyable {
    static let maxBackoff = 6
    /// How many probe timeouts in a row make a leg suspect.
    static let suspectCount = 2
    static let initialPacketThreshold = 3
    static let maxPacketThreshold = 1_024

    let id: LegID
    let payloadSize: Int
    let preamble: [UInt8]
    var roundTrip: RoundTrip
    var sent = SentLog()
    var received = ReceivedNumbers()
    var congestion: CongestionController
    var pacer = Pacer()

    var inFlight = 0
    var elicitingInFlight = 0
    var ptoCount = 0
    var probes = 0
    var lossTime: Instant?
    var lastElicitingTime = Instant(nanoseconds: 0)
    var lastReceived: Instant?
    var everAcknowledged = false
    var isSuspectTold = false
    var packetThreshold = initialPacketThreshold
    /// How many eighths of the round trip a packet may be late, in addition to the round trip.
    var reorderEighths: Int64 = 1

    var pingWanted = false
    var challengeWanted: UInt64?
    /// Whether the leg must send CONNECTION_CLOSE.
    var closeWanted = false
    var responses: [UInt64] = []
    /// The last packet that contained an ACK of this leg.
    var acknowledgedBy: UInt64 = 0

    // The sampler of delivery rates.
    var delivered: UInt64 = 0
    var deliveredTime = Instant(nanoseconds: 0)
    var firstSentTime = Instant(nanoseconds: 0)
    /// When the newest acknowledged packet was sent.
    var answeredTime: Instant?
    var appLimitedUntil: UInt64 = 0

    /// The index in the log of the highest acknowledged packet.
    var topAcknowledged = -1
    var packetsSent: UInt64 = 0
    var packetsAcknowledged: UInt64 = 0
    var packetsLost: UInt64 = 0
    var packetsSpuriouslyLost: UInt64 = 0
    /// Losses since the last reduction that have not proved spurious.
    var episodeLosses = 0

    // Events not polled yet.
    var tellValidated = false
    var tellSuspect = false
    var tellActivated = false

    init(
        id: LegID, payloadSize: Int, preamble: [UInt8], initialRTT: TimeSpan?, algorithm: CongestionAlgorithm,
        phase: UInt64
    ) {
        self.id = id
        self.payloadSize = payloadSize
        self.preamble = preamble
        roundTrip = RoundTrip(initial: initialRTT)
        congestion = CongestionController(
            algorithm, packetSize: payloadSize, initialRTT: roundTrip.smoothed, phase: phase)
    }

    /// Whether packets are paced: within one machine or room, timers cost more than bursts.
    var isPaced: Bool { (roundTrip.smallest ?? .milliseconds(100)) >= .milliseconds(2) }
    var hasWindow: Bool { inFlight + payloadSize <= congestion.window }

    func maySendData(_ now: Instant) -> Bool { probes > 0 || (hasWindow && pacer.allows(now, isPaced: isPaced)) }

    /// Whether packets are due that may exceed the window: pings, challenges, probes.
    var hasOwnFrames: Bool { pingWanted || challengeWanted != nil || !responses.isEmpty || probes > 0 }

    var probeDeadline: Instant? {
        guard elicitingInFlight > 0 else { return nil }
        let wait = roundTrip.probeTimeout * Int64(1 << min(ptoCount, Self.maxBackoff))
        return lastElicitingTime + min(wait, .seconds(10))
    }

    /// How long after it was sent an unacknowledged packet that others have overtaken counts as lost.
    var lossDelay: TimeSpan {
        let base = max(roundTrip.smoothed, roundTrip.latest)
        return base + max(base * reorderEighths / 8, .milliseconds(1))
    }

    var ackDelay: TimeSpan { roundTrip.ackDelay }

    /// Logs a packet and adds it to the bytes in flight.
    mutating func log(
        number: UInt64, isEliciting: Bool, firstFrame: Int, now: Instant
    ) {
        if isEliciting {
            if inFlight == 0 {
                deliveredTime = now
                firstSentTime = now
                congestion.resumed(now: now, delivered: delivered)
            }
            inFlight += payloadSize
            elicitingInFlight += 1
            lastElicitingTime = now
            if isPaced {
                let rate = congestion.pacingRate(smoothedRTT: roundTrip.smoothed)
                pacer.sent(size: payloadSize, rate: rate, now: now)
            }
        }
        packetsSent += 1
        sent.append(
            SentPacket(
                number: number, time: now, delivered: delivered, deliveredTime: deliveredTime,
                firstSentTime: firstSentTime, firstFrame: firstFrame,
                frameCount: UInt16(truncatingIfNeeded: sent.nextFrame - firstFrame), state: .outstanding,
                isEliciting: isEliciting, isAppLimited: appLimitedUntil > delivered, isCounted: false))
    }

    /// Removes a packet from the bytes in flight.
    mutating func settle() {
        inFlight -= payloadSize
        elicitingInFlight -= 1
    }

    /// A packet that `detectLosses` declared lost has arrived: wait longer for reordered packets.
    mutating func sawReordering(distance: Int) {
        packetThreshold = min(max(packetThreshold, distance + 2), Self.maxPacketThreshold)
        reorderEighths = min(reorderEighths + 1, 8)
        packetsSpuriouslyLost += 1
    }

    var memory: Int { sent.memory + 1_024 }
}
