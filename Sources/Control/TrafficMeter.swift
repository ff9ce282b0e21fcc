/// Counters of packets and bytes, or their growth per second.
public struct Traffic: Equatable, Sendable {
    /// Packets received and sent.
    public var packetsIn: UInt64, packetsOut: UInt64
    /// Bytes received and sent, whole datagrams.
    public var bytesIn: UInt64, bytesOut: UInt64

    /// The four numbers, zero where not given.
    public init(packetsIn: UInt64 = 0, packetsOut: UInt64 = 0, bytesIn: UInt64 = 0, bytesOut: UInt64 = 0) {
        self.packetsIn = packetsIn
        self.packetsOut = packetsOut
        self.bytesIn = bytesIn
        self.bytesOut = bytesOut
    }
}

extension StatusReport {
    /// Packets and bytes since the start.
    public var total: Traffic {
        get {
            .init(
                packetsIn: self.packetsIn ?? 0, packetsOut: self.packetsOut ?? 0, bytesIn: self.bytesIn ?? 0,
                bytesOut: self.bytesOut ?? 0)
        }
        set {
            self.packetsIn = newValue.packetsIn
            self.packetsOut = newValue.packetsOut
            self.bytesIn = newValue.bytesIn
            self.bytesOut = newValue.bytesOut
        }
    }

    /// Takes the packets and bytes per second, over the last ten seconds.
    public mutating func setRate(_ rate: Traffic) {
        self.packetsInRate = rate.packetsIn
        self.packetsOutRate = rate.packetsOut
        self.bytesInRate = rate.bytesIn
        self.bytesOutRate = rate.bytesOut
    }
}

/// The rates of the last ten seconds, from counters that are read once per second.
public struct TrafficMeter: Sendable {
    private struct Sample {
        var time: UInt64
        var total: Traffic
    }

    /// The last samples, oldest first.
    private var samples: [Sample] = []
    /// How many samples are kept: ten intervals of a second.
    private static let sampleLimit = 11

    /// A meter without samples, whose rates are zero.
    public init() {}

    /// Adds the counters' values at `time`, in nanoseconds of a monotonic clock.
    public mutating func record(_ total: Traffic, at time: UInt64) {
        if samples.count == Self.sampleLimit { samples.removeFirst() }
        samples.append(Sample(time: time, total: total))
    }

    /// The counters' growth per second, between the oldest and the newest sample.
    public var rate: Traffic {
        guard let first = samples.first, let last = samples.last, last.time > first.time else { return .init() }
        let seconds = Double(last.time - first.time) / 1e9
        func perSecond(_ counter: KeyPath<Traffic, UInt64>) -> UInt64 {
            let (before, after) = (first.total[keyPath: counter], last.total[keyPath: counter])
            return after > before ? UInt64((Double(after - before) / seconds).rounded()) : 0
        }
        return .init(
            packetsIn: perSecond(\.packetsIn), packetsOut: perSecond(\.packetsOut), bytesIn: perSecond(\.bytesIn),
            bytesOut: perSecond(\.bytesOut))
    }
}
