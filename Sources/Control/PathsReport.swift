/// The paths of a client.
public struct PathsReport: Codable, Equatable, Sendable {
    /// One path.
    public struct Path: Codable, Equatable, Sendable {
        /// The addresses of its nodes (`….snode`), guard first.
        public var hops: [String]
        /// Its state: `building`, `ready` or `dead`.
        public var state: String
        /// Whether it carries a session's data.
        public var active: Bool
        /// The time since it was built, or since its build began, in seconds.
        public var age: Double
        /// The round-trip time to its guard in milliseconds; nil if unknown.
        public var guardRoundTrip: Double?
        /// The round-trip time to its exit in milliseconds; nil until something has come back over it.
        public var roundTrip: Double?
        /// The build time in milliseconds.
        public var buildTime: Double?
        /// Bytes received over it.
        public var bytesIn: UInt64
        /// Bytes sent into it.
        public var bytesOut: UInt64

        enum CodingKeys: String, CodingKey {
            case hops, state, active
            case age = "age_s"
            case guardRoundTrip = "guard_rtt_ms"
            case roundTrip = "rtt_ms"
            case buildTime = "build_ms"
            case bytesIn = "bytes_in"
            case bytesOut = "bytes_out"
        }

        /// A path; times are kept to 0.1 s and 1 µs.
        public init(
            hops: [String], state: String, active: Bool, age: Double, guardRoundTrip: Double?, roundTrip: Double?,
            buildTime: Double?, bytesIn: UInt64, bytesOut: UInt64
        ) {
            self.hops = hops
            self.state = state
            self.active = active
            self.age = rounded(age, decimals: 1)
            self.guardRoundTrip = guardRoundTrip.map { rounded($0, decimals: 3) }
            self.roundTrip = roundTrip.map { rounded($0, decimals: 3) }
            self.buildTime = buildTime.map { rounded($0, decimals: 3) }
            self.bytesIn = bytesIn
            self.bytesOut = bytesOut
        }

        /// Writes every field, an unknown time as null.
        public func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(hops, forKey: .hops)
            try container.encode(state, forKey: .state)
            try container.encode(active, forKey: .active)
            try container.encode(age, forKey: .age)
            try container.encode(guardRoundTrip, forKey: .guardRoundTrip)
            try container.encode(roundTrip, forKey: .roundTrip)
            try container.encode(buildTime, forKey: .buildTime)
            try container.encode(bytesIn, forKey: .bytesIn)
            try container.encode(bytesOut, forKey: .bytesOut)
        }
    }

    /// The paths, in the client's order.
    public var paths: [Path]

    /// A report of `paths`.
    public init(paths: [Path]) { self.paths = paths }
}

/// `value` rounded to this many decimals, so that its text is short; 0 for values that JSON cannot represent.
func rounded(_ value: Double, decimals: Int) -> Double {
    guard value.isFinite else { return 0 }
    let scale = (0..<decimals).reduce(1.0) { factor, _ in factor * 10 }
    return (value * scale).rounded() / scale
}
