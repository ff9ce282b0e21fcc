internal import CLibSodium
public import Wire

/// What a key is blinded for; keys blinded for different purposes have nothing in common.
public enum BlindingPurpose: UInt8, Sendable, CaseIterable {
    /// The box of a service's descriptors.
    case service = 1
    /// The box of an account's record.
    case accountRecord = 2
}

/// An Ed25519 key pair of one period, made from an identity (protocol.md, section 14.2).
///
/// A holder of the identity's public half can compute the public half for any period. Nobody else can tell whose it is,
/// or that two of them belong together. Its signatures are those of Ed25519.
public struct BlindedKey: ~Copyable {
    /// The private scalar.
    let scalar: Secret
    /// What nonces of signatures are made from; it takes the place of the second half of a seed's hash.
    let noncePrefix: Secret
    /// The public half.
    public let publicKey: Bytes32

    /// The key pair of `identity` for a purpose and a period of a network.
    public init(
        _ identity: borrowing SigningKey, for purpose: BlindingPurpose, in period: TimePeriod, network: Bytes32
    ) {
        let own = identity.expandedScalar()
        let product = Self.product(Self.factor(identity.publicKey, purpose, period, network), own.scalar)
        let point = Bytes32(copying: Self.point(product).rawSpan)
        var writer = ByteWriter(capacity: 96)
        writer.prefix(.blindPrefix)
        writer.bytes32(network)
        writer.bytes32(point)
        var hash = Blake2b(outputSize: Secret.size, key: own.prefix.bytes)
        hash.update(writer.bytes.rawSpan)
        noncePrefix = hash.finishSecret()
        scalar = product
        publicKey = point
    }

    /// The public half of the blinded key of `identity`; throws `invalidKey` if that is not a key of the prime-order
    /// group.
    public static func publicKey(
        of identity: Bytes32, for purpose: BlindingPurpose, in period: TimePeriod, network: Bytes32
    ) throws(CryptoError) -> Bytes32 {
        guard PrimeOrderGroup.contains(identity) else { throw .invalidKey }
        guard let point = product(factor(identity, purpose, period, network), identity) else { throw .invalidKey }
        return point
    }

    /// The signature of `message`, 64 bytes; ``SigningKey/verify(_:of:by:)`` verifies it (RFC 8032, section 5.1.6).
    public borrowing func sign(_ message: RawSpan) -> [UInt8] {
        let nonce = Self.nonce(noncePrefix, message)
        let point = Self.point(nonce)
        let challenge = Self.reduce(SigningKey.sha512(point + publicKey.array + [UInt8](copying: message)))
        return point + Self.sum(Self.product(challenge, scalar), nonce)
    }

    /// The number that an identity is multiplied by: a hash modulo the order of the group.
    private static func factor(
        _ identity: Bytes32, _ purpose: BlindingPurpose, _ period: TimePeriod, _ network: Bytes32
    ) -> Secret {
        var writer = ByteWriter(capacity: 96)
        writer.prefix(.blind)
        writer.bytes32(network)
        writer.u8(purpose.rawValue)
        writer.bytes32(identity)
        writer.u32(period.number)
        var hash = Blake2b(outputSize: 64)
        hash.update(writer.bytes.rawSpan)
        return reduce(hash.finish())
    }

    /// The hash of the prefix and the message, as a scalar.
    private static func nonce(_ prefix: borrowing Secret, _ message: RawSpan) -> Secret {
        // Allocated with its final size, because a growing array leaves copies of its bytes behind.
        var input = [UInt8](repeating: 0, count: Secret.size + message.byteCount)
        defer { wipe(&input) }
        let start = unsafe UnsafeRawBufferPointer(start: prefix.pointer, count: Secret.size)
        unsafe input.withUnsafeMutableBytes { buffer in
            unsafe buffer.copyMemory(from: start)
            let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[Secret.size...])
            unsafe message.withUnsafeBytes { unsafe rest.copyMemory(from: $0) }
        }
        var hash = SigningKey.sha512(input)
        defer { wipe(&hash) }
        return reduce(hash)
    }

    // The functions below borrow their secrets, so that none ends while libsodium reads it.

    /// 64 bytes modulo the order of the group.
    private static func reduce(_ bytes: [UInt8]) -> Secret {
        let scalar = Secret(uninitializedLocked: false)
        unsafe crypto_core_ed25519_scalar_reduce(scalar.bytePointer, bytes)
        return scalar
    }

    private static func product(_ a: borrowing Secret, _ b: borrowing Secret) -> Secret {
        let product = Secret(uninitializedLocked: false)
        unsafe crypto_core_ed25519_scalar_mul(product.bytePointer, a.bytePointer, b.bytePointer)
        return product
    }

    private static func sum(_ a: borrowing Secret, _ b: borrowing Secret) -> [UInt8] {
        var sum = [UInt8](repeating: 0, count: 32)
        unsafe crypto_core_ed25519_scalar_add(&sum, a.bytePointer, b.bytePointer)
        return sum
    }

    /// A multiple of the base point; the scalar is a hash, or a product of a hash, and never zero.
    private static func point(_ scalar: borrowing Secret) -> [UInt8] {
        var point = [UInt8](repeating: 0, count: 32)
        let status = unsafe crypto_scalarmult_ed25519_base_noclamp(&point, scalar.bytePointer)
        precondition(status == 0, "a hash is zero")
        return point
    }

    /// A multiple of `point`; nil if libsodium does not take the point, or the product is the neutral one.
    private static func product(_ scalar: borrowing Secret, _ point: Bytes32) -> Bytes32? {
        var product = [UInt8](repeating: 0, count: 32)
        let status = unsafe crypto_scalarmult_ed25519_noclamp(&product, scalar.bytePointer, point.array)
        return status == 0 ? Bytes32(product) : nil
    }
}

extension SigningKey {
    /// The two halves of a seed's hash (RFC 8032, section 5.1.5): the scalar, and what nonces are made from.
    struct ExpandedScalar: ~Copyable {
        let scalar: Secret
        let prefix: Secret
    }

    borrowing func expandedScalar() -> ExpandedScalar {
        withExpanded { key in
            var hash = [UInt8](repeating: 0, count: 64)
            unsafe crypto_hash_sha512(&hash, key, 32)
            hash[0] &= 0xf8
            hash[31] = hash[31] & 0x7f | 0x40
            let halves = ExpandedScalar(
                scalar: Secret(copying: hash.rawSpan.extracting(first: Secret.size)),
                prefix: Secret(copying: hash.rawSpan.extracting(last: Secret.size)))
            wipe(&hash)
            return halves
        }
    }
}

extension Secret {
    /// The memory as bytes, for libsodium.
    fileprivate var bytePointer: UnsafeMutablePointer<UInt8> { unsafe pointer.assumingMemoryBound(to: UInt8.self) }
}
