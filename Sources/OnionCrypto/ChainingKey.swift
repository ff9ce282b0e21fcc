internal import CLibSodium
internal import Wire

/// The chaining key of a Noise handshake with BLAKE2b (Noise revision 34, sections 4.3 and 5.2): 64 bytes, wiped at its
/// end.
@safe public struct ChainingKey: ~Copyable {
    /// HASHLEN of BLAKE2b.
    public static let size = 64
    /// BLOCKLEN of BLAKE2b.
    private static let blockSize = 128

    private let pointer: UnsafeMutableRawPointer

    private init(uninitialized: Void) {
        Sodium.initialize()
        unsafe pointer = UnsafeMutableRawPointer.allocate(byteCount: Self.size, alignment: 16)
    }

    /// The chaining key at the start of a handshake: a copy of `hash`, 64 bytes.
    public init(copying hash: RawSpan) {
        precondition(hash.byteCount == Self.size, "a chaining key is 64 bytes long")
        self.init(uninitialized: ())
        let target = unsafe pointer
        unsafe hash.withUnsafeBytes { unsafe target.copyMemory(from: $0.baseAddress!, byteCount: Self.size) }
    }

    deinit {
        unsafe sodium_memzero(pointer, Self.size)
        unsafe pointer.deallocate()
    }

    /// A copy in separate memory.
    public borrowing func clone() -> ChainingKey {
        let copy = ChainingKey(uninitialized: ())
        unsafe copy.pointer.copyMemory(from: pointer, byteCount: Self.size)
        return copy
    }

    /// HKDF with two outputs: the first becomes the chaining key; the first 32 bytes of the second are returned.
    public mutating func mix(_ input: RawSpan) -> Secret {
        let outputs = expand(input, count: 2)
        unsafe pointer.copyMemory(from: outputs.pointer, byteCount: Self.size)
        return outputs.secret(1)
    }

    /// HKDF with three outputs.
    ///
    /// The first becomes the chaining key, the second goes into the handshake hash, and the first 32 bytes of the third
    /// are the key.
    public mutating func mixAndHash(_ input: RawSpan) -> MixedKey {
        let outputs = expand(input, count: 3)
        unsafe pointer.copyMemory(from: outputs.pointer, byteCount: Self.size)
        let hash = unsafe [UInt8](UnsafeRawBufferPointer(start: outputs.pointer + Self.size, count: Self.size))
        return MixedKey(hash: hash, key: outputs.secret(2))
    }

    /// The result of `mixAndHash`.
    public struct MixedKey: ~Copyable {
        /// The bytes to mix into the handshake hash.
        public let hash: [UInt8]
        private let key: Secret

        fileprivate init(hash: [UInt8], key: consuming Secret) {
            self.hash = hash
            self.key = key
        }

        /// The key, moved out.
        public consuming func takeKey() -> Secret { key }
    }

    /// The two keys of a finished handshake (Noise, `Split`).
    public consuming func split() -> SplitKeys {
        let outputs = expand(RawSpan(), count: 2)
        return SplitKeys(initiator: outputs.secret(0), responder: outputs.secret(1))
    }

    /// Up to three HMAC outputs, one after the other.
    private borrowing func expand(_ input: RawSpan, count: Int) -> Outputs {
        let outputs = Outputs()
        // The pseudorandom key in front of the outputs' scratch: HMAC(ck, input), then T(i) = HMAC(prk, T(i-1) ‖ i).
        let prk = unsafe outputs.pointer + 3 * Self.size
        unsafe input.withUnsafeBytes { unsafe Self.hmac(key: pointer, first: $0, last: nil, to: prk) }
        for index in 0..<count {
            let previous = unsafe index == 0 ? nil : outputs.pointer + (index - 1) * Self.size
            let first = unsafe UnsafeRawBufferPointer(start: previous, count: index == 0 ? 0 : Self.size)
            unsafe Self.hmac(key: prk, first: first, last: UInt8(index + 1), to: outputs.pointer + index * Self.size)
        }
        return outputs
    }

    /// HMAC-BLAKE2b-512 (RFC 2104) under a 64-byte key, over `first` and an optional byte.
    private static func hmac(
        key: UnsafeRawPointer, first: UnsafeRawBufferPointer, last: UInt8?, to output: UnsafeMutableRawPointer
    ) {
        let pad = UnsafeMutableRawPointer.allocate(byteCount: blockSize + size, alignment: 16)
        let inner = unsafe pad + blockSize
        unsafe fillPad(pad, key: key, with: 0x36)
        var hash = Blake2b(outputSize: size)
        unsafe hash.update(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: pad, count: blockSize)))
        unsafe hash.update(RawSpan(_unsafeBytes: first))
        if let last { hash.update([last].rawSpan) }
        var innerSpan = unsafe MutableRawSpan(_unsafeStart: inner, byteCount: size)
        hash.finish(into: &innerSpan)

        unsafe fillPad(pad, key: key, with: 0x5c)
        var outer = Blake2b(outputSize: size)
        unsafe outer.update(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(start: pad, count: blockSize + size)))
        var outputSpan = unsafe MutableRawSpan(_unsafeStart: output, byteCount: size)
        outer.finish(into: &outputSpan)
        unsafe sodium_memzero(pad, blockSize + size)
        unsafe pad.deallocate()
    }

    private static func fillPad(_ pad: UnsafeMutableRawPointer, key: UnsafeRawPointer, with byte: UInt8) {
        for index in 0..<blockSize {
            let keyByte = unsafe index < size ? key.load(fromByteOffset: index, as: UInt8.self) : 0
            unsafe pad.storeBytes(of: keyByte ^ byte, toByteOffset: index, as: UInt8.self)
        }
    }

    /// The memory of HKDF's outputs.
    @safe private struct Outputs: ~Copyable {
        let pointer: UnsafeMutableRawPointer

        init() { unsafe pointer = UnsafeMutableRawPointer.allocate(byteCount: 4 * ChainingKey.size, alignment: 16) }

        deinit {
            unsafe sodium_memzero(pointer, 4 * ChainingKey.size)
            unsafe pointer.deallocate()
        }

        /// The first 32 bytes of an output.
        func secret(_ index: Int) -> Secret {
            unsafe Secret(
                copying: RawSpan(
                    _unsafeBytes: UnsafeRawBufferPointer(
                        start: pointer + index * ChainingKey.size, count: Secret.size)))
        }
    }
}

/// The two keys of a finished Noise handshake.
public struct SplitKeys: ~Copyable {
    /// The key of the initiator's messages.
    public let initiator: Secret
    /// The key of the responder's messages.
    public let responder: Secret
}
