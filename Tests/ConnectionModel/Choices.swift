import SeededRandom

/// The source of a run's decisions: the bytes of an input in order, and then a generator that they seed.
struct Choices {
    private let bytes: [UInt8]
    private var position = 0
    private var random: SeededGenerator

    init(_ input: [UInt8]) {
        bytes = input
        random = SeededGenerator(
            seed: input.reduce(0x9e37_79b9_7f4a_7c15) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 })
    }

    /// A number below `bound`, from the next byte of the input if there is one.
    mutating func below(_ bound: Int) -> Int {
        if position < bytes.count {
            position += 1
            let byte = Int(bytes[position - 1])
            return bound <= 256 ? byte % bound : byte * (bound / 256) + byte % 7
        }
        return Int(random.next() % UInt64(bound))
    }

    /// A number below `bound` from the generator, for values that an input need not spell out.
    mutating func anything(below bound: UInt64) -> UInt64 { random.next() % bound }

    /// True with a probability of `percent` per cent.
    mutating func chance(_ percent: Int) -> Bool { Int(random.next() % 100) < percent }
}
