/// Where a run's decisions come from: the bytes of an input one after the other, and a generator seeded by them when they are used up.
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

    /// A number below `bound`; an explicit one decides by one byte of the input.
    mutating func below(_ bound: Int) -> Int {
        if position < bytes.count {
            position += 1
            let byte = Int(bytes[position - 1])
            return bound <= 256 ? byte % bound : byte * (bound / 256) + byte % 7
        }
        return Int(random() % UInt64(bound))
    }

    /// A number below `bound`, not by the input: for what no input should have to say byte by byte.
    mutating func anything(below bound: UInt64) -> UInt64 { random() % bound }

    /// True in `percent` of a hundred cases.
    mutating func chance(_ percent: Int) -> Bool { Int(random() % 100) < percent }
}
