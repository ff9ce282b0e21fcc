internal import CLibSodium
internal import Wire

/// Thirty-two secret bytes at one place in memory, wiped when the value ends.
///
/// The value itself holds only their address, so moving it leaves no copy behind.
@safe public struct Secret: ~Copyable {
    /// The length of every secret.
    public static let size = 32

    let pointer: UnsafeMutableRawPointer
    private let isLocked: Bool

    /// Memory for a secret, not initialized; `locked` keeps it out of swap if the system allows.
    init(uninitializedLocked locked: Bool = false) {
        Sodium.initialize()
        unsafe pointer = UnsafeMutableRawPointer.allocate(byteCount: Self.size, alignment: 16)
        isLocked = locked
        if locked { _ = unsafe sodium_mlock(pointer, Self.size) }
    }

    /// A fresh random secret.
    public static func random() -> Secret {
        let secret = Secret()
        unsafe randombytes_buf(secret.pointer, size)
        return secret
    }

    private init() { self.init(uninitializedLocked: false) }

    /// A copy of `span`, which must be 32 bytes long; the caller must wipe the source.
    public init(copying span: RawSpan, locked: Bool = false) {
        precondition(span.byteCount == Self.size, "a secret is 32 bytes long")
        self.init(uninitializedLocked: locked)
        let target = unsafe pointer
        unsafe span.withUnsafeBytes { unsafe target.copyMemory(from: $0.baseAddress!, byteCount: Self.size) }
    }

    deinit {
        if isLocked {
            _ = unsafe sodium_munlock(pointer, Self.size)  // wipes as well
        } else {
            unsafe sodium_memzero(pointer, Self.size)
        }
        unsafe pointer.deallocate()
    }

    /// The bytes, valid while the secret is borrowed.
    public var bytes: RawSpan {
        @_lifetime(borrow self)
        get {
            let span = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(pointer), byteCount: Self.size)
            return unsafe _overrideLifetime(span, borrowing: self)
        }
    }

    /// A copy in separate memory.
    public borrowing func clone() -> Secret { Secret(copying: bytes) }

    /// The key derivation of the whole protocol (protocol.md, "Key derivation").
    ///
    /// BLAKE2b-256 keyed with this secret over `label`, a zero byte, the other secret if there is one, and `context`.
    public borrowing func derive(
        _ label: StaticString, mixing other: borrowing Secret, context: [UInt8] = []
    ) -> Secret {
        var hash = startDerivation(label)
        hash.update(other.bytes)
        hash.update(context.rawSpan)
        return hash.finishSecret()
    }

    /// The key derivation of the whole protocol, without a second secret.
    public borrowing func derive(_ label: StaticString, context: [UInt8] = []) -> Secret {
        var hash = startDerivation(label)
        hash.update(context.rawSpan)
        return hash.finishSecret()
    }

    private borrowing func startDerivation(_ label: StaticString) -> Blake2b {
        var hash = Blake2b(outputSize: Self.size, key: bytes)
        label.withUTF8Buffer { hash.update(unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer($0))) }
        let separator: [UInt8] = [0]
        hash.update(separator.rawSpan)
        return hash
    }

    /// The derived value's first eight bytes as a little-endian number, for starts of counters.
    public borrowing func deriveNumber(_ label: StaticString) -> UInt64 {
        let secret = derive(label)
        return unsafe UInt64(littleEndian: secret.pointer.load(as: UInt64.self))
    }
}

// One value owns the memory, and nothing writes to it after the value was made.
extension Secret: @unchecked Sendable {}

/// Wipes an array that held a secret; for APIs that require an array.
public func wipe(_ array: inout [UInt8]) {
    var span = array.mutableRawSpan
    unsafe span.withUnsafeMutableBytes { buffer in
        guard let base = buffer.baseAddress else { return }
        unsafe sodium_memzero(base, buffer.count)
    }
}
