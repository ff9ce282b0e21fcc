internal import OnionCrypto
internal import Wire

/// A responder's cookies (protocol.md, section 3.4): they prove that a source receives packets at its address, and need
/// no state per source.
struct CookieJar: ~Copyable {
    /// How long one secret makes new cookies; its cookies are accepted for one period more.
    static let period = TimeSpan.seconds(120)
    /// The length of a cookie in bytes.
    static let size = 16

    private var current = Secret.random()
    private var previous: Secret?
    private var startedAt: Instant
    /// How often the secret has changed; data that depends on a secret is removed by this number.
    private(set) var rotation: UInt64 = 0

    init(now: Instant) {
        previous = nil
        startedAt = now
    }

    /// Changes the secret when its period is over.
    mutating func advance(to now: Instant) {
        let age = now - startedAt
        guard age >= Self.period else { return }
        if age >= Self.period * 2 {
            previous = nil
            rotation += 2
            startedAt = now
            current = .random()
        } else {
            rotate(at: startedAt + Self.period)
        }
    }

    /// Changes the secret at `moment`.
    ///
    /// Cookies of the current secret stay valid until the next change. Cookies of the secret before it become invalid.
    mutating func rotate(at moment: Instant) {
        var secret = Secret.random()
        swap(&current, &secret)
        previous = consume secret
        rotation += 1
        startedAt = moment
    }

    /// The cookie of `source` under the current secret.
    borrowing func cookie(for source: Endpoint) -> [UInt8] { Self.mac(current, source) }

    /// Whether the last 16 bytes of `initiation` are the MAC of the rest under a cookie of `source`.
    borrowing func verify(_ initiation: RawSpan, from source: Endpoint) -> Bool {
        if Self.check(Self.mac(current, source), initiation) { return true }
        switch previous {
        case .some(let secret): return Self.check(Self.mac(secret, source), initiation)
        case .none: return false
        }
    }

    private static func check(_ cookie: [UInt8], _ initiation: RawSpan) -> Bool {
        let end = initiation.byteCount - HandshakeLayout.macSize
        let mac = Blake2b.mac16(key: cookie.rawSpan, initiation.extracting(0..<end))
        return constantTimeEqual(mac.rawSpan, initiation.extracting(end..<initiation.byteCount))
    }

    private static func mac(_ secret: borrowing Secret, _ source: Endpoint) -> [UInt8] {
        var writer = ByteWriter(capacity: 18)
        writer.u64(source.address.high.byteSwapped)
        writer.u64(source.address.low.byteSwapped)
        writer.u16(source.port)
        return Blake2b.mac16(key: secret.bytes, writer.bytes.rawSpan)
    }
}
