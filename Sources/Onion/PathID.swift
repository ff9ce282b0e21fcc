internal import OnionCrypto
internal import Wire

/// A path id: `worker 8 │ table index 24 │ random 32`, chosen by the receiver of its packets (protocol.md, section 4).
public enum PathID {
    /// The bit of the table index that marks a client's own paths among those that a node forwards.
    public static let clientBit: UInt32 = 1 << 23

    /// The id of these parts; `index` is below 2^24.
    public static func make(worker: UInt8, index: UInt32, random: UInt32) -> UInt64 {
        UInt64(worker) << 56 | UInt64(index & 0xff_ffff) << 32 | UInt64(random)
    }

    /// The worker whose table has the path.
    public static func worker(of id: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: id >> 56) }

    /// The table index, below 2^24.
    public static func index(of id: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: id >> 32) & 0xff_ffff }

    /// The random part, the lower 32 bits.
    public static func random(of id: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: id) }
}

/// Random parts of path ids that do not repeat within 2^32: a keyed permutation of a counter.
public struct PathIDSequence: ~Copyable {
    private let key: Secret
    private var counter: UInt32

    /// A sequence with a new random key.
    public init() {
        key = .random()
        counter = SecureRandom.u32()
    }

    /// The next random part.
    public mutating func next() -> UInt32 {
        var left = UInt16(truncatingIfNeeded: counter >> 16)
        var right = UInt16(truncatingIfNeeded: counter)
        counter &+= 1
        for round in 0..<UInt8(4) {  // a Feistel network of four rounds is a permutation whatever the round function is
            let mixed = left ^ mix(round, right)
            left = right
            right = mixed
        }
        return UInt32(left) << 16 | UInt32(right)
    }

    private func mix(_ round: UInt8, _ half: UInt16) -> UInt16 {
        let input: [UInt8] = [round, UInt8(truncatingIfNeeded: half), UInt8(half >> 8)]
        let output = Blake2b.mac16(key: key.bytes, input.rawSpan)
        return UInt16(output[0]) | UInt16(output[1]) << 8
    }
}
