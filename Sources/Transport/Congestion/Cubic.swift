internal import Wire

/// CUBIC (RFC 9438) with HyStart++ (RFC 9406), in bytes.
///
/// It has more members than most types: the variables of both RFCs.
struct Cubic {
    private static let c = 0.4
    private static let beta = 0.7
    private static let initialPackets = 32
    private static let minimumPackets = 4

    private let packet: Double
    private var size: Double
    private var threshold = Double.infinity
    private var maximum = 0.0
    private var epoch: Instant?
    private var k = 0.0
    private var renoWindow = 0.0
    private var recoveryStart: Instant?
    private var before: (size: Double, threshold: Double, maximum: Double)?

    // HyStart++.
    private var roundEnd: UInt64 = 0
    private var roundMinimum = TimeSpan(nanoseconds: .max)
    private var lastRoundMinimum = TimeSpan(nanoseconds: .max)
    private var roundSamples = 0
    private var conservativeRounds = 0
    private var conservativeBaseline = TimeSpan(nanoseconds: .max)
    private var isConservative = false

    init(packetSize: Int) {
        packet = Double(packetSize)
        size = packet * Double(Self.initialPackets)
    }

    var window: Int { Int(min(max(size, 0), CongestionController.largestWindow)) }
    private var isSlowStart: Bool { size < threshold }

    func pacingRate(smoothedRTT: TimeSpan) -> Double {
        size / max(smoothedRTT.inSeconds, 1e-6) * (isSlowStart ? 2 : 1.25)
    }

    mutating func acknowledged(_ sample: AckSample) {
        if isSlowStart { hyStart(sample) }
        // An acknowledgement of traffic that did not fill the window does not enlarge it.
        guard !sample.isAppLimited else { return }
        if isSlowStart {
            let growth = Double(sample.acknowledged)
            size += isConservative ? growth / 4 : growth
            if size >= threshold { size = max(threshold, size) }
            return
        }
        if epoch == nil {
            epoch = sample.now
            renoWindow = size
            k = maximum > size ? ((maximum - size) / packet / Self.c).cubeRoot : 0
            if maximum < size { maximum = size }
        }
        guard let epoch else { return }
        let time = (sample.now - epoch).inSeconds + (sample.roundTrip?.inSeconds ?? 0)
        let offset = time - k
        let target = min(max(maximum + Self.c * offset * offset * offset * packet, size), size * 1.5)
        let acknowledgedWindows = Double(sample.acknowledged) / size
        let alpha = renoWindow < maximum ? 3 * (1 - Self.beta) / (1 + Self.beta) : 1
        renoWindow += alpha * packet * acknowledgedWindows
        size += (target - size) * acknowledgedWindows
        size = max(size, renoWindow)
    }

    private mutating func hyStart(_ sample: AckSample) {
        if sample.largestAcknowledged >= roundEnd {
            if isConservative {
                conservativeRounds += 1
                if conservativeRounds >= 5 { threshold = size }
            }
            roundEnd = sample.nextNumber
            lastRoundMinimum = roundMinimum
            roundMinimum = TimeSpan(nanoseconds: .max)
            roundSamples = 0
        }
        guard let roundTrip = sample.roundTrip else { return }
        roundMinimum = min(roundMinimum, roundTrip)
        roundSamples += 1
        guard roundSamples >= 4, lastRoundMinimum.nanoseconds != .max else { return }
        if isConservative {
            if roundMinimum < conservativeBaseline { isConservative = false }
        } else {
            let margin = min(max(lastRoundMinimum / 8, .milliseconds(4)), .milliseconds(16))
            if roundMinimum >= lastRoundMinimum + margin {
                isConservative = true
                conservativeRounds = 0
                conservativeBaseline = roundMinimum
            }
        }
    }

    mutating func lost(newestLost: Instant, now: Instant) {
        if let recoveryStart, newestLost <= recoveryStart { return }
        before = (size, threshold, maximum)
        recoveryStart = now
        maximum = size < maximum ? size * (1 + Self.beta) / 2 : size
        size = max(size * Self.beta, packet * Double(Self.minimumPackets))
        threshold = size
        epoch = nil
    }

    /// Undoes the last reduction.
    mutating func undo() {
        guard let before else { return }
        size = max(size, before.size)
        threshold = before.threshold
        maximum = before.maximum
        self.before = nil
        epoch = nil
    }
}

extension Double {
    /// The cube root of a number that is not negative, by Newton's method.
    fileprivate var cubeRoot: Double {
        guard self > 0 else { return 0 }
        var root = self > 1 ? self.squareRoot() : 1
        for _ in 0..<40 { root = (2 * root + self / (root * root)) / 3 }
        return root
    }
}
