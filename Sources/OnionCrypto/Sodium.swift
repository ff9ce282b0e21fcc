internal import CLibSodium
internal import Wire

/// The initialization of libsodium in this process.
public enum Sodium {
    /// Runs once; without it libsodium would silently use its slow portable ciphers.
    private static let ready: Bool = sodium_init() >= 0

    /// Initializes libsodium; every type of this module calls it before its first use, so a further call costs one
    /// load.
    public static func initialize() { precondition(ready, "libsodium could not be initialised") }
}

/// Random bytes from the operating system through libsodium: the program's only source of randomness.
public struct SecureRandom: RandomNumberGenerator, Sendable {
    /// The generator; it has no state.
    public init() {}

    /// Sixty-four random bits.
    public mutating func next() -> UInt64 { Self.u64() }

    /// A random element; nil if there is none.
    public static func element<Elements: Collection>(of elements: Elements) -> Elements.Element? {
        var random = SecureRandom()
        return elements.randomElement(using: &random)
    }

    /// The elements in a random order.
    public static func shuffled<Elements: Sequence>(_ elements: Elements) -> [Elements.Element] {
        var random = SecureRandom()
        return elements.shuffled(using: &random)
    }

    /// Fills `span` with random bytes of the system's generator.
    public static func fill(_ span: inout MutableRawSpan) {
        Sodium.initialize()
        unsafe span.withUnsafeMutableBytes { buffer in
            guard let base = buffer.baseAddress else { return }
            unsafe randombytes_buf(base, buffer.count)
        }
    }

    /// `count` random bytes.
    public static func bytes(_ count: Int) -> [UInt8] {
        var array = [UInt8](repeating: 0, count: count)
        var span = array.mutableRawSpan
        fill(&span)
        return array
    }

    /// Thirty-two random bits.
    public static func u32() -> UInt32 {
        Sodium.initialize()
        return randombytes_random()
    }

    /// Sixty-four random bits.
    public static func u64() -> UInt64 {
        Sodium.initialize()
        var bits: UInt64 = 0
        unsafe randombytes_buf(&bits, MemoryLayout<UInt64>.size)
        return bits
    }
}

/// Whether two runs of bytes are equal; the time depends only on their lengths.
public func constantTimeEqual(_ a: RawSpan, _ b: RawSpan) -> Bool {
    guard a.byteCount == b.byteCount else { return false }
    return unsafe a.withUnsafeBytes { left in
        unsafe b.withUnsafeBytes { right in
            guard let x = left.baseAddress, let y = right.baseAddress else { return true }
            return unsafe sodium_memcmp(x, y, left.count) == 0
        }
    }
}
