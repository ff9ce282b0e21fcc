internal import Wire

/// The information in one acknowledgement.
struct AckSample {
    var now: Instant
    /// Bytes newly acknowledged.
    var acknowledged: Int
    /// Bytes in flight before and after the acknowledgement.
    var inFlightBefore: Int
    var inFlight: Int
    /// Bytes declared lost at the same time.
    var lost: Int
    /// The newest round-trip sample minus the peer's delay; nil if there was none.
    var roundTrip: TimeSpan?
    /// The delivery rate in bytes per second; nil if the sample is not usable.
    var rate: Double?
    /// Whether the sender had no more data when it sent the newest acknowledged packet.
    var isAppLimited: Bool
    /// All bytes delivered on the leg, and the count when the newest acknowledged packet was sent.
    var delivered: UInt64
    var priorDelivered: UInt64
    var largestAcknowledged: UInt64
    var nextNumber: UInt64
}

/// The congestion controller of a leg: the window and the pacing rate.
///
/// Exactly one of the two members is set. They are separate members, not enum cases, so that each is mutated in place.
struct CongestionController {
    /// The largest window in bytes: values derived from the peer's acknowledgements stay small enough to add.
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

    /// A packet is sent with nothing in flight, after `delivered` bytes.
    mutating func resumed(now: Instant, delivered: UInt64) { model?.resumed(now: now, delivered: delivered) }

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
