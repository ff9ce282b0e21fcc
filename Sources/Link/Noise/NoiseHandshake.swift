internal import OnionCrypto
internal import Wire

/// Why a Noise message was refused.
enum NoiseError: Error, Equatable {
    /// The message is shorter than the pattern requires.
    case tooShort
    /// A tag is wrong.
    case notAuthentic
    /// A key is a low-order point: the shared secret would be zero.
    case lowOrderPoint
}

/// The three patterns that links use, all with 25519, ChaChaPoly and BLAKE2b.
enum NoisePattern {
    /// Node to node: the responder's key is known, the initiator's is sent encrypted.
    case ik
    /// Client to node: the responder's key is known, the initiator has no static key.
    case nk
    /// Rekey on a link: no static keys; both ends hold a pre-shared secret.
    case nnPSK0

    fileprivate var name: StaticString {
        switch self {
        case .ik: "Noise_IK_25519_ChaChaPoly_BLAKE2b"
        case .nk: "Noise_NK_25519_ChaChaPoly_BLAKE2b"
        case .nnPSK0: "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2b"
        }
    }

    fileprivate var first: [NoiseToken] {
        switch self {
        case .ik: [.e, .es, .s, .ss]
        case .nk: [.e, .es]
        case .nnPSK0: [.psk, .e]
        }
    }

    fileprivate var second: [NoiseToken] {
        switch self {
        case .ik: [.e, .ee, .se]
        case .nk, .nnPSK0: [.e, .ee]
        }
    }

    /// How much longer message 1 is than its payload, in bytes.
    var firstOverhead: Int {
        switch self {
        case .ik: 96
        case .nk, .nnPSK0: 48
        }
    }

    /// How much longer message 2 is than its payload, in bytes.
    static let secondOverhead = 48
}

private enum NoiseToken { case e, s, ee, es, se, ss, psk }

/// A handshake of two messages (Noise revision 34, section 5.3), from either side.
///
/// The initiator calls `writeFirst`, then `readSecond` for each answer until one is authentic. The responder calls
/// `readFirst` once and then `writeSecond`.
struct NoiseHandshake: ~Copyable {
    private let pattern: NoisePattern
    private let isInitiator: Bool
    private var symmetric: SymmetricState
    private let ephemeral: AgreementKey
    private let identity: LinkIdentity?
    private var psk: Secret?
    /// The other side's static key: the initiator knows it beforehand, and IK's responder reads it from message 1.
    private(set) var remoteStatic: Bytes32?
    /// The other side's ephemeral key; nil before a message was read.
    private(set) var remoteEphemeral: Bytes32?

    /// The initiator of `pattern` towards the holder of `remoteStatic`; IK sends the key of `identity`.
    init(
        initiator pattern: NoisePattern, prologue: RawSpan, identity: LinkIdentity? = nil, remoteStatic: Bytes32? = nil,
        psk: consuming Secret? = nil, ephemeral: consuming AgreementKey = AgreementKey()
    ) {
        self.init(
            pattern, isInitiator: true, prologue: prologue, identity: identity, remoteStatic: remoteStatic, psk: psk,
            ephemeral: ephemeral)
    }

    /// The responder of `pattern`; IK and NK use the key of `identity`.
    init(
        responder pattern: NoisePattern, prologue: RawSpan, identity: LinkIdentity? = nil, psk: consuming Secret? = nil,
        ephemeral: consuming AgreementKey = AgreementKey()
    ) {
        self.init(
            pattern, isInitiator: false, prologue: prologue, identity: identity, remoteStatic: nil, psk: psk,
            ephemeral: ephemeral)
    }

    private init(
        _ pattern: NoisePattern, isInitiator: Bool, prologue: RawSpan, identity: LinkIdentity?, remoteStatic: Bytes32?,
        psk: consuming Secret?, ephemeral: consuming AgreementKey
    ) {
        self.pattern = pattern
        self.isInitiator = isInitiator
        self.identity = identity
        self.remoteStatic = remoteStatic
        self.psk = psk
        self.ephemeral = ephemeral
        symmetric = SymmetricState(protocolName: pattern.name)
        symmetric.mixHash(prologue)
        switch pattern {
        case .ik, .nk:
            guard let responder = isInitiator ? remoteStatic : identity?.linkKey else {
                preconditionFailure("IK and NK need the responder's static key")
            }
            symmetric.mixHash(responder.array.rawSpan)
        case .nnPSK0: break
        }
    }

    /// The transcript's hash so far.
    var hash: [UInt8] { symmetric.hash }

    // MARK: Messages

    /// Writes message 1 with `payload` sealed in it.
    mutating func writeFirst(_ payload: RawSpan) throws(NoiseError) -> [UInt8] {
        try write(pattern.first, payload)
    }

    /// The payload of message 1.
    mutating func readFirst(_ message: RawSpan) throws(NoiseError) -> [UInt8] {
        try read(pattern.first, message)
    }

    /// Writes message 2 and ends the handshake.
    consuming func writeSecond(_ payload: RawSpan) throws(NoiseError) -> NoiseResult {
        let message = try write(pattern.second, payload)
        return NoiseResult(bytes: message, hash: symmetric.hash, keys: symmetric.split())
    }

    /// Reads message 2 and returns its payload and the keys; after an error this state is unchanged, ready for the next
    /// message.
    borrowing func readSecond(_ message: RawSpan) throws(NoiseError) -> NoiseResult {
        var state = symmetric.cloneWithoutCipher()
        var reader = ByteReader(message)
        guard let key = try? reader.bytes32() else { throw .tooShort }
        state.mixHash(key.array.rawSpan)
        if pattern == .nnPSK0 { state.mixKey(key.array.rawSpan) }
        let shared = try agree(ephemeral, key)
        state.mixKey(shared.bytes)
        if pattern == .ik {
            let other = try agreeStatic(key)
            state.mixKey(other.bytes)
        }
        guard reader.remaining >= AEADKey.tagSize, let rest = try? reader.array(reader.remaining) else {
            throw .tooShort
        }
        guard let payload = state.decryptAndHash(rest.rawSpan) else { throw .notAuthentic }
        let hash = state.hash
        return NoiseResult(bytes: payload, hash: hash, keys: state.split())
    }

    // MARK: Tokens

    private mutating func write(_ tokens: [NoiseToken], _ payload: RawSpan) throws(NoiseError) -> [UInt8] {
        var message = [UInt8]()
        message.reserveCapacity(96 + payload.byteCount)
        for token in tokens {
            switch token {
            case .e:
                message.append(contentsOf: ephemeral.publicKey.array)
                mixEphemeral(ephemeral.publicKey)
            case .s:
                guard let identity else { preconditionFailure("IK needs a static key") }
                message.append(contentsOf: symmetric.encryptAndHash(identity.linkKey.array.rawSpan))
            case .ee, .es, .se, .ss, .psk: try mix(token)
            }
        }
        message.append(contentsOf: symmetric.encryptAndHash(payload))
        return message
    }

    private mutating func read(_ tokens: [NoiseToken], _ message: RawSpan) throws(NoiseError) -> [UInt8] {
        var reader = ByteReader(message)
        for token in tokens {
            switch token {
            case .e:
                guard let key = try? reader.bytes32() else { throw .tooShort }
                remoteEphemeral = key
                mixEphemeral(key)
            case .s:
                guard let sealed = try? reader.array(32 + AEADKey.tagSize) else { throw .tooShort }
                guard let opened = symmetric.decryptAndHash(sealed.rawSpan), let key = Bytes32(opened) else {
                    throw .notAuthentic
                }
                remoteStatic = key
            case .ee, .es, .se, .ss, .psk: try mix(token)
            }
        }
        guard reader.remaining >= AEADKey.tagSize, let rest = try? reader.array(reader.remaining) else {
            throw .tooShort
        }
        guard let payload = symmetric.decryptAndHash(rest.rawSpan) else { throw .notAuthentic }
        return payload
    }

    private mutating func mixEphemeral(_ key: Bytes32) {
        symmetric.mixHash(key.array.rawSpan)
        if pattern == .nnPSK0 { symmetric.mixKey(key.array.rawSpan) }
    }

    private mutating func mix(_ token: NoiseToken) throws(NoiseError) {
        if token == .psk {
            guard let secret = psk.take() else { preconditionFailure("NNpsk0 needs a pre-shared key") }
            symmetric.mixKeyAndHash(secret.bytes)
            return
        }
        let shared = try exchange(token)
        symmetric.mixKey(shared.bytes)
    }

    private borrowing func exchange(_ token: NoiseToken) throws(NoiseError) -> Secret {
        switch token {
        case .ee: return try agree(ephemeral, remoteEphemeral)
        case .ss: return try agreeStatic(remoteStatic)
        case .es:
            if isInitiator { return try agree(ephemeral, remoteStatic) }
            return try agreeStatic(remoteEphemeral)
        case .se:
            if isInitiator { return try agreeStatic(remoteEphemeral) }
            return try agree(ephemeral, remoteStatic)
        case .e, .s, .psk: preconditionFailure("not an exchange")
        }
    }

    private borrowing func agreeStatic(_ peer: Bytes32?) throws(NoiseError) -> Secret {
        guard let identity else { preconditionFailure("the pattern needs a static key") }
        return try agree(identity.agreementKey, peer)
    }

    private borrowing func agree(_ key: borrowing AgreementKey, _ peer: Bytes32?) throws(NoiseError) -> Secret {
        guard let peer else { preconditionFailure("the peer's key comes before the exchange") }
        do throws(CryptoError) {
            return try key.agree(with: peer)
        } catch {
            throw .lowOrderPoint
        }
    }
}

/// The result of a finished handshake: a message or payload, and the keys.
struct NoiseResult: ~Copyable {
    /// The message written, or the payload read.
    let bytes: [UInt8]
    /// The transcript's hash.
    let hash: [UInt8]
    /// The keys of the two directions.
    let keys: SplitKeys

    /// The keys, moved out.
    consuming func takeKeys() -> SplitKeys { keys }
}
