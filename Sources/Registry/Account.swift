public import Wire

/// The owner of an amount: an Ed25519 public key; accounts are ordered by its bytes, from the first.
public struct Account: Hashable, Comparable, Sendable {
    /// The public key.
    public let key: Bytes32

    /// The account of the public key `key`.
    public init(_ key: Bytes32) { self.key = key }

    /// Whether `a`'s bytes come before those of `b`.
    public static func < (a: Account, b: Account) -> Bool { NodeID(a.key) < NodeID(b.key) }
}

extension ByteReader {
    /// An account, 32 bytes.
    mutating func account() throws(WireError) -> Account { Account(try bytes32()) }
}

extension ByteWriter {
    /// An account, 32 bytes.
    mutating func account(_ value: Account) { bytes32(value.key) }
}

/// `value` × `numerator` / `denominator`, rounded down, with a product of 128 bits.
///
/// A result above 64 bits saturates.
func portion(of value: UInt64, _ numerator: UInt64, _ denominator: UInt64) -> UInt64 {
    UInt64(clamping: UInt128(value) * UInt128(numerator) / UInt128(denominator))
}

/// `value` × `numerator` / `denominator`, rounded up, with a product of 128 bits.
///
/// A result above 64 bits saturates.
func portionRoundedUp(of value: UInt64, _ numerator: UInt64, _ denominator: UInt64) -> UInt64 {
    UInt64(clamping: (UInt128(value) * UInt128(numerator) + UInt128(denominator - 1)) / UInt128(denominator))
}
