public import CCryptoBoringSSL
internal import CLibSodium
internal import Wire

/// An AEAD of the packet path; the raw value is its number on the wire.
public enum Suite: UInt8, Sendable, CaseIterable {
    /// AES-256-GCM (NIST SP 800-38D): where both ends have the hardware.
    case aes256gcm = 1
    /// ChaCha20-Poly1305 with a 12-byte nonce (RFC 8439).
    case chacha20poly1305 = 2

    private static let hasAES = CCryptoBoringSSL_EVP_has_aes_hardware() == 1

    /// Whether this machine can run it: AES only with the processor's own instructions, which take the same time for
    /// all data.
    public var isAvailable: Bool { self == .chacha20poly1305 || Self.hasAES }
}

/// A key of one AEAD, expanded once, that seals and opens in place with BoringSSL from swift-crypto.
///
/// The nonce of every operation is four zero bytes and the counter, little-endian. **The caller must never use a
/// counter twice for sealing under one key.** The key is wiped when the value ends.
@safe public struct AEADKey: ~Copyable {
    /// The length of a tag.
    @inlinable public static var tagSize: Int { 16 }

    /// The AEAD of the key.
    public let suite: Suite
    /// The key, followed by memory whose address each call needs.
    @usableFromInline let memory: UnsafeMutableRawPointer

    @inlinable static var tagSizeOffset: Int { unsafe (MemoryLayout<EVP_AEAD_CTX>.size + 15) & ~15 }
    @inlinable static var nonceOffset: Int { tagSizeOffset + 8 }
    @inlinable static var nonceSize: Int { 12 }
    private static var memorySize: Int { nonceOffset + 16 }

    @inlinable var context: UnsafeMutablePointer<EVP_AEAD_CTX> {
        unsafe memory.assumingMemoryBound(to: EVP_AEAD_CTX.self)
    }

    /// Expands `secret` for `suite`, which must be available on this machine.
    public init(_ suite: Suite, _ secret: borrowing Secret) {
        precondition(suite.isAvailable, "the suite needs hardware that this machine lacks")
        self.suite = suite
        unsafe memory = UnsafeMutableRawPointer.allocate(byteCount: Self.memorySize, alignment: 16)
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: Self.memorySize)
        unsafe CCryptoBoringSSL_EVP_AEAD_CTX_zero(context)
        let aead =
            suite == .aes256gcm
            ? unsafe CCryptoBoringSSL_EVP_aead_aes_256_gcm() : unsafe CCryptoBoringSSL_EVP_aead_chacha20_poly1305()
        let isSet = unsafe CCryptoBoringSSL_EVP_AEAD_CTX_init(
            context, aead, secret.pointer.assumingMemoryBound(to: UInt8.self), Secret.size, Self.tagSize, nil)
        precondition(isSet == 1, "a key of the right length is always taken")
    }

    deinit {
        unsafe CCryptoBoringSSL_EVP_AEAD_CTX_cleanup(context)
        unsafe sodium_memzero(memory, Self.memorySize)
        unsafe memory.deallocate()
    }

    /// Encrypts `packet[from..<to]` in place and writes the tag to the 16 bytes before it.
    @inlinable @inline(__always)
    public func seal(_ packet: inout MutableRawSpan, from: Int, to: Int, counter: UInt64) {
        precondition(from >= Self.tagSize && from <= to && to <= packet.byteCount, "a range outside of the packet")
        unsafe packet.withUnsafeMutableBytes { buffer in
            // A span that has room for a tag before its end has memory.
            let text = unsafe buffer.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self) + from
            unsafe sealRaw(text, to &- from, text - Self.tagSize, nil, 0, counter)
        }
    }

    /// Decrypts `packet[from..<to]` in place if the tag in the 16 bytes before it is right; otherwise wipes it and
    /// returns false.
    @inlinable @inline(__always)
    public func open(_ packet: inout MutableRawSpan, from: Int, to: Int, counter: UInt64) -> Bool {
        precondition(from >= Self.tagSize && from <= to && to <= packet.byteCount, "a range outside of the packet")
        return unsafe packet.withUnsafeMutableBytes { buffer in
            let text = unsafe buffer.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self) + from
            return unsafe openRaw(text, to &- from, text - Self.tagSize, nil, 0, counter)
        }
    }

    /// Seals a whole message with associated data and returns ciphertext and tag, for handshakes and records.
    public func seal(_ message: RawSpan, associated: RawSpan, counter: UInt64) -> [UInt8] {
        let count = message.byteCount
        // Allocated with its final size: an array that grows leaves a copy of the message, which may be a key, behind.
        var output = [UInt8](repeating: 0, count: count + Self.tagSize)
        unsafe output.withUnsafeMutableBytes { buffer in
            unsafe message.withUnsafeBytes { unsafe buffer.copyMemory(from: $0) }
        }
        unsafe associated.withUnsafeBytes { ad in
            unsafe output.withUnsafeMutableBufferPointer { buffer in
                let base = buffer.baseAddress!
                unsafe sealRaw(
                    base, count, base + count, ad.baseAddress?.assumingMemoryBound(to: UInt8.self), ad.count, counter)
            }
        }
        return output
    }

    /// Opens ciphertext and tag with associated data; nil when the tag is wrong or the input is too short.
    public func open(_ sealed: RawSpan, associated: RawSpan, counter: UInt64) -> [UInt8]? {
        let count = sealed.byteCount - Self.tagSize
        guard count >= 0 else { return nil }
        var output = [UInt8](copying: sealed)
        let isGood = unsafe associated.withUnsafeBytes { ad in
            unsafe output.withUnsafeMutableBufferPointer { buffer in
                let base = buffer.baseAddress!
                return unsafe openRaw(
                    base, count, base + count, ad.baseAddress?.assumingMemoryBound(to: UInt8.self), ad.count, counter)
            }
        }
        guard isGood else { return nil }
        output.removeLast(Self.tagSize)
        return output
    }

    @inlinable @inline(__always)
    func sealRaw(
        _ text: UnsafeMutablePointer<UInt8>, _ count: Int, _ tag: UnsafeMutablePointer<UInt8>,
        _ ad: UnsafePointer<UInt8>?, _ adCount: Int, _ counter: UInt64
    ) {
        let isSealed = unsafe CCryptoBoringSSL_EVP_AEAD_CTX_seal_scatter(
            context, text, tag, (memory + Self.tagSizeOffset).assumingMemoryBound(to: Int.self), Self.tagSize,
            nonce(counter), Self.nonceSize, text, count, nil, 0, ad, adCount)
        precondition(isSealed == 1, "sealing fails for nothing but lengths that no packet has")
    }

    @inlinable @inline(__always)
    func openRaw(
        _ text: UnsafeMutablePointer<UInt8>, _ count: Int, _ tag: UnsafePointer<UInt8>,
        _ ad: UnsafePointer<UInt8>?, _ adCount: Int, _ counter: UInt64
    ) -> Bool {
        // On failure it wipes the bytes that it was to decrypt.
        unsafe CCryptoBoringSSL_EVP_AEAD_CTX_open_gather(
            context, text, nonce(counter), Self.nonceSize, text, count, tag, Self.tagSize, ad, adCount) == 1
    }

    /// Four constant zero bytes, and the counter, written for each operation.
    ///
    /// A nonce is not secret, and in the key's own memory it costs neither a copy nor a guarded stack frame.
    @inlinable @inline(__always)
    func nonce(_ counter: UInt64) -> UnsafePointer<UInt8> {
        let place = unsafe memory + Self.nonceOffset
        unsafe place.storeBytes(of: counter.littleEndian, toByteOffset: 4, as: UInt64.self)
        return unsafe UnsafePointer(place.assumingMemoryBound(to: UInt8.self))
    }
}

/// ChaCha20 as a stream (RFC 8439, nonce zero, from block 0), for keys that are used once.
public enum ChaCha20 {
    /// XORs the keystream of `key`, from its start, over `span` from `offset` on, in place.
    public static func xor(_ span: inout MutableRawSpan, from offset: Int = 0, key: borrowing Secret) {
        precondition(0 <= offset && offset <= span.byteCount)
        let keyPointer = unsafe key.pointer.assumingMemoryBound(to: UInt8.self)
        unsafe span.withUnsafeMutableBytes { buffer in
            guard let base = unsafe buffer.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
            var nonce: (UInt32, UInt32, UInt32) = (0, 0, 0)
            unsafe withUnsafeBytes(of: &nonce) { raw in
                _ = unsafe crypto_stream_chacha20_ietf_xor(
                    base + offset, base + offset, UInt64(buffer.count - offset),
                    raw.baseAddress!.assumingMemoryBound(to: UInt8.self), keyPointer)
            }
        }
    }
}

/// XChaCha20-Poly1305 with a random 24-byte nonce, for cookies and key files.
public enum XChaCha20Poly1305 {
    /// The length of a nonce.
    public static let nonceSize = 24

    /// Ciphertext and tag of `message`.
    public static func seal(_ message: RawSpan, associated: RawSpan, nonce: RawSpan, key: borrowing Secret) -> [UInt8] {
        precondition(nonce.byteCount == nonceSize)
        let count = message.byteCount
        var output = [UInt8](repeating: 0, count: count + AEADKey.tagSize)
        let keyPointer = unsafe key.pointer.assumingMemoryBound(to: UInt8.self)
        unsafe message.withUnsafeBytes { m in
            unsafe associated.withUnsafeBytes { ad in
                unsafe nonce.withUnsafeBytes { n in
                    unsafe output.withUnsafeMutableBufferPointer { c in
                        _ = unsafe crypto_aead_xchacha20poly1305_ietf_encrypt(
                            c.baseAddress!, nil, m.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(count),
                            ad.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(ad.count), nil,
                            n.baseAddress!.assumingMemoryBound(to: UInt8.self), keyPointer)
                    }
                }
            }
        }
        return output
    }

    /// The message, or nil when the tag is wrong or the input is too short.
    public static func open(
        _ sealed: RawSpan, associated: RawSpan, nonce: RawSpan, key: borrowing Secret
    ) -> [UInt8]? {
        guard nonce.byteCount == nonceSize, sealed.byteCount >= AEADKey.tagSize else { return nil }
        var output = [UInt8](repeating: 0, count: sealed.byteCount - AEADKey.tagSize)
        let keyPointer = unsafe key.pointer.assumingMemoryBound(to: UInt8.self)
        let status = unsafe sealed.withUnsafeBytes { c in
            unsafe associated.withUnsafeBytes { ad in
                unsafe nonce.withUnsafeBytes { n in
                    unsafe output.withUnsafeMutableBufferPointer { m in
                        unsafe crypto_aead_xchacha20poly1305_ietf_decrypt(
                            m.baseAddress, nil, nil, c.baseAddress!.assumingMemoryBound(to: UInt8.self),
                            UInt64(c.count), ad.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(ad.count),
                            n.baseAddress!.assumingMemoryBound(to: UInt8.self), keyPointer)
                    }
                }
            }
        }
        return status == 0 ? output : nil
    }
}
