internal import CLibSodium
public import Wire

/// The points that Ed25519 works with: a group of prime order, in which a key has no twins (protocol.md, section 14.1).
public enum PrimeOrderGroup {
    /// Whether the check takes a good key and refuses its twins in this process; else ``contains(_:)`` takes no key.
    ///
    /// Some versions of libsodium let a key plus the point of order two pass `crypto_core_ed25519_is_valid_point`.
    public static let isSound: Bool = {
        Sodium.initialize()
        return tells(twins, from: base) { check($0) }
    }()

    /// Whether `key` is the one encoding of a point of the group, and not the neutral one.
    public static func contains(_ key: Bytes32) -> Bool { isSound && check(key) }

    /// Whether `key` passes both checks, the first of which is `first`.
    static func check(_ key: Bytes32, first: (Bytes32) -> Bool = isValidPoint) -> Bool { first(key) && isNegated(key) }

    private static func isValidPoint(_ key: Bytes32) -> Bool {
        unsafe crypto_core_ed25519_is_valid_point(key.array) == 1
    }

    /// Whether the group's order less one times the point is the point's negative.
    ///
    /// That holds in the group alone, whatever the library's own check lets pass.
    static func isNegated(_ key: Bytes32) -> Bool {
        let point = key.array
        var negative = point
        negative[31] ^= 0x80
        var product = [UInt8](repeating: 0, count: 32)
        guard unsafe crypto_scalarmult_ed25519_noclamp(&product, orderLessOne, point) == 0 else { return false }
        return product == negative
    }

    /// Whether `check` takes `point` and refuses all of `twins`.
    static func tells(_ twins: [Bytes32], from point: Bytes32, _ check: (Bytes32) -> Bool) -> Bool {
        check(point) && !twins.contains(where: check)
    }

    /// The group's order less one, as a scalar.
    private static let orderLessOne: [UInt8] = [
        0xec, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ]

    private static func point(_ first: UInt8, _ middle: UInt8, _ last: UInt8) -> Bytes32 {
        Bytes32([first] + [UInt8](repeating: middle, count: 30) + [last]) ?? Bytes32()
    }

    /// The base point of RFC 8032.
    static let base = point(0x58, 0x66, 0x66)

    /// The base point plus the point (0, −1) of order two; that point; the neutral one.
    static let twins = [point(0x95, 0x99, 0x99), point(0xec, 0xff, 0x7f), point(1, 0, 0)]
}
