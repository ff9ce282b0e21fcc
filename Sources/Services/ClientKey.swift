public import OnionCrypto
internal import Wire

/// The 32 random bytes that a client and a restricted service share, so that this client finds it (client
/// authorization).
public final class ClientKey: Sendable {
    private let secret: Secret

    /// A key of 32 new random bytes.
    public convenience init() { self.init(.random()) }

    /// A key read from a file, or received from the service's operator.
    public init(_ secret: consuming Secret) { self.secret = secret }

    /// Calls `body` with the 32 bytes, which the key's file has, and which the client's user receives.
    public func withBytes<Result>(_ body: (RawSpan) -> Result) -> Result { Self.call(body, with: secret) }

    private static func call<Result>(_ body: (RawSpan) -> Result, with secret: borrowing Secret) -> Result {
        body(secret.bytes)
    }

    /// The entry for this key: the client id and the wrapped cookie.
    func entry(wrapping cookie: borrowing Secret, in place: SealedPlace) -> [UInt8] {
        id(in: place) + wrapKey(in: place).seal(cookie.bytes, associated: RawSpan(), counter: 0)
    }

    /// The cookie, if one of `entries` is for this key.
    func cookie(from entries: [UInt8], in place: SealedPlace) -> Secret? {
        let id = id(in: place)
        let key = wrapKey(in: place)
        for start in stride(from: 0, to: entries.count, by: ClientEntries.entrySize) {
            let entry = Array(entries[start..<start + ClientEntries.entrySize])
            guard entry.starts(with: id) else { continue }
            let wrapped = entry.rawSpan.extracting(droppingFirst: ClientEntries.idSize)
            guard var cookie = key.open(wrapped, associated: RawSpan(), counter: 0) else { continue }
            defer { wipe(&cookie) }
            return Secret(copying: cookie.rawSpan)
        }
        return nil
    }

    private func id(in place: SealedPlace) -> [UInt8] {
        let id = secret.derive("client", context: place.context)
        return [UInt8](copying: id.bytes.extracting(first: ClientEntries.idSize))
    }

    private func wrapKey(in place: SealedPlace) -> AEADKey {
        AEADKey(.chacha20poly1305, secret.derive("cookie", context: place.context))
    }
}

/// The client entries of a descriptor: always as many, in random order, and unused ones random.
enum ClientEntries {
    /// The length of a client id.
    static let idSize = 8
    /// The length of an entry: client id and wrapped cookie.
    static let entrySize = idSize + Secret.size + AEADKey.tagSize
    /// The length of all entries.
    static let size = ServiceLimits.clients * entrySize

    /// The entries for `clients`, of which there may be as many as there are entries.
    ///
    /// The order is random: a client that finds its entry does not learn how many others there are.
    static func make(for clients: [ClientKey], wrapping cookie: borrowing Secret, in place: SealedPlace) -> [UInt8] {
        // A key that is listed twice has one entry: two equal ones would show that there are clients.
        var entries = Array(Set(clients.map { $0.entry(wrapping: cookie, in: place) }))
        while entries.count < ServiceLimits.clients { entries.append(SecureRandom.bytes(entrySize)) }
        return Array(SecureRandom.shuffled(entries).joined())
    }
}
