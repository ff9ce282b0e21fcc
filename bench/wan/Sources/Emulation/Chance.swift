/// A seeded generator (SplitMix64).
///
/// Each route has one, so that its losses do not depend on other routes' packets.
struct Chance {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// A number in 0..<1.
    mutating func fraction() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// Whether an event of this probability happens.
    ///
    /// Draws nothing where it cannot, so that a setting of 0 costs nothing.
    mutating func happens(_ probability: Double) -> Bool { probability > 0 && fraction() < probability }
}
