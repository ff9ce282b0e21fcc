/// A generator of any kind.
///
/// Swift 6.3.1 crashes where a generic function gets a stored existential generator and a local variable with it.
struct RandomSource: RandomNumberGenerator, Sendable {
    private var generator: any RandomNumberGenerator & Sendable

    init(_ generator: any RandomNumberGenerator & Sendable) { self.generator = generator }

    mutating func next() -> UInt64 { generator.next() }
}
