/// The source of a run's decisions: the bytes of an input in order, and then a generator that they seed.
struct Choices {
    private let bytes: [UInt8]
    private var position = 0
    private var state: UInt64 = 0x9e37_79b9_7f4a_7c15

    init(_ input: [UInt8]) {
        bytes = input
        for byte in input { state = (state ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
    }

    /// SplitMix64.
    private mutating func random() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// A number below `bound`, from the next byte of the input if there is one.
    mutating func below(_ bound: Int) -> Int {
        if position < bytes.count {
            position += 1
            let byte = Int(bytes[position - 1])
            return bound <= 256 ? byte % bound : byte * (bound / 256) + byte % 7
        }
        return Int(random() % UInt64(bound))
    }

    /// A number below `bound` from the generator, for values that an input need not spell out.
    mutating func anything(below bound: UInt64) -> UInt64 { random() % bound }

    /// True with a probability of `percent` per cent.
    mutating func chance(_ percent: Int) -> Bool { Int(random() % 100) < percent }
}
