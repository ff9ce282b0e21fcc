internal import Wire

/// What an acknowledgement says about the path.
struct AckSample {
    var now: Instant
    /// Bytes newly acknowledged.
    var acknowledged: Int
    /// Bytes in flight before and after the acknowledgement.
    var inFlightBefore: Int
    var inFlight: Int
    /// Bytes declared lost at the same time.
    var lost: Int
    /// The newest round-trip sample less the peer's delay; nil if there was none.
    var roundTrip: TimeSpan?
    /// Bytes per second; nil if the sample does not tell.
    var rate: Double?
    /// Whether the newest packet acknowledged was sent while there was nothing more to send.
    var isAppLimited: Bool
    /// All bytes delivered on the leg, and how many of them when the newest packet acknowledged was sent.
    var delivered: UInt64
    var priorDelivered: UInt64
    var largestAcknowledged: UInt64
    var nextNumber: UInt64
}

/// A congestion controller of a leg: how much may be in flight and how fast it goes out.
///
/// One of the two is there. They stand side by side, not in an enum, so that each changes in place.
struct CongestionController {
    /// No window is larger, in bytes: what a peer makes of the round trip and the rate stays a number that is safe to add to.
    static let largestWindow = 1e12

    private var cubic: Cubic?
    private var model: PathModel?

    init(_ algorithm: CongestionAlgorithm, packetSize: Int, initialRTT: TimeSpan, phase: UInt64) {
        switch algorithm {
        case .cubic: cubic = Cubic(packetSize: packetSize)
        case .model: model = PathModel(packetSize: packetSize, initialRTT: initialRTT, phase: phase)
        }
    }

    /// Bytes that may be in flight.
    var window: Int { model?.window ?? cubic?.window ?? 0 }

    /// Bytes per second.
    func pacingRate(smoothedRTT: TimeSpan) -> Double {
        model?.pacingRate ?? cubic?.pacingRate(smoothedRTT: smoothedRTT) ?? 0
    }

    mutating func acknowledged(_ sample: AckSample) {
        model?.acknowledged(sample)
        cubic?.acknowledged(sample)
    }

    /// Packets sent up to `newestLost` were declared lost.
    mutating func lost(bytes: Int, newestLost: Instant, now: Instant) {
        model?.lost(bytes: bytes)
        cubic?.lost(newestLost: newestLost, now: now)
    }

    /// A packet that was declared lost has come after all; `allOfEpisode` if every one since the last reduction has.
    mutating func lossWasSpurious(bytes: Int, allOfEpisode: Bool) {
        model?.lossWasSpurious(bytes: bytes)
        if allOfEpisode { cubic?.undo() }
    }
}
