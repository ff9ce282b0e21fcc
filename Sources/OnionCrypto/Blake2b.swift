internal import CLibSodium
public import Wire

/// BLAKE2b in pieces (RFC 7693), with or without a key.
@safe public struct Blake2b: ~Copyable {
    private let state: UnsafeMutableRawPointer
    private let outputSize: Int
    /// The size of libsodium's state; it requires an alignment of 64.
    private static let stateSize = crypto_generichash_statebytes()

    private var opaque: OpaquePointer { unsafe OpaquePointer(state) }

    /// A hash of `outputSize` bytes (16 to 64).
    public init(outputSize: Int) { self.init(outputSize: outputSize, key: RawSpan()) }

    /// A keyed hash of `outputSize` bytes (16 to 64); the key has 16 to 64 bytes, or none.
    public init(outputSize: Int, key: RawSpan) {
        precondition((16...64).contains(outputSize) && (key.byteCount == 0 || (16...64).contains(key.byteCount)))
        Sodium.initialize()
        unsafe state = UnsafeMutableRawPointer.allocate(byteCount: Self.stateSize, alignment: 64)
        self.outputSize = outputSize
        let target = unsafe OpaquePointer(state)
        unsafe key.withUnsafeBytes { keyBytes in
            _ = unsafe crypto_generichash_init(
                target, keyBytes.baseAddress?.assumingMemoryBound(to: UInt8.self), keyBytes.count, outputSize)
        }
    }

    deinit {
        unsafe sodium_memzero(state, Self.stateSize)
        unsafe state.deallocate()
    }

    /// Adds `bytes` to the input.
    public mutating func update(_ bytes: RawSpan) {
        let target = unsafe opaque
        unsafe bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return }
            _ = unsafe crypto_generichash_update(target, base.assumingMemoryBound(to: UInt8.self), UInt64(buffer.count))
        }
    }

    /// Writes the hash to the front of `output`, which must have room for it.
    public consuming func finish(into output: inout MutableRawSpan) {
        let size = outputSize
        precondition(output.byteCount >= size)
        let target = unsafe opaque
        unsafe output.withUnsafeMutableBytes { buffer in
            _ = unsafe crypto_generichash_final(target, buffer.baseAddress!.assumingMemoryBound(to: UInt8.self), size)
        }
    }

    /// The hash, of the length that the initialiser was given.
    public consuming func finish() -> [UInt8] {
        var output = [UInt8](repeating: 0, count: outputSize)
        var span = output.mutableRawSpan
        finish(into: &span)
        return output
    }

    /// The hash as a secret; its size must be 32.
    public consuming func finishSecret() -> Secret {
        precondition(outputSize == Secret.size)
        let secret = Secret(uninitializedLocked: false)
        _ = unsafe crypto_generichash_final(
            opaque, secret.pointer.assumingMemoryBound(to: UInt8.self), Secret.size)
        return secret
    }

    /// The 32-byte hash of `bytes` without a key.
    public static func digest(_ bytes: RawSpan) -> Bytes32 {
        var hash = Blake2b(outputSize: 32)
        hash.update(bytes)
        let array = hash.finish()
        return Bytes32(copying: array.rawSpan)
    }

    /// A 16-byte MAC of `bytes` under a 32-byte or 16-byte `key`.
    public static func mac16(key: RawSpan, _ bytes: RawSpan) -> [UInt8] {
        var hash = Blake2b(outputSize: 16, key: key)
        hash.update(bytes)
        return hash.finish()
    }
}
