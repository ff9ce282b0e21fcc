public import Onion
public import OnionCrypto
public import Wire

/// The sealed form of a request (protocol.md, section 13.1).
///
///     key id 8 │ X-Wing ciphertext 1,120 │ sealed: time u32 │ method u8 │ length u32 │ arguments │ zeros to a class
public enum RequestEnvelope {
    /// The size of key id and ciphertext in bytes; together they identify a request.
    public static let openingSize = 8 + KEM.ciphertextSize
    /// The length of a unit of a request's time, in seconds.
    public static let timeUnit: UInt64 = 60
    /// The greatest allowed difference of a request's time and its target's clock, in units.
    public static let timeTolerance: UInt64 = 5
    /// The size of an answer's salt in bytes.
    public static let saltSize = 16
    /// How long a target must remember a request: as long as the request's time can be valid.
    public static let memory = TimeSpan.seconds(Int64((2 * timeTolerance + 1) * timeUnit))
    /// The longest arguments in bytes.
    public static let longestArguments = RequestClass.bytes65792.size - headSize
    /// The size of the fields before the arguments: time, method and length.
    static let headSize = 4 + 1 + 4
    /// The size of the fields before the result: length and status.
    static let answerHeadSize = 4 + 1

    /// The id of the onion key that an envelope is sealed to; nil if it is too short.
    static func keyID(of envelope: [UInt8]) -> UInt64? {
        var reader = ByteReader(envelope.rawSpan)
        return try? reader.u64()
    }

    /// Seals a request for `target`, whose onion public key is `onionKey`.
    ///
    /// `arguments` is called once with the request's binding, so that a signature in them is valid for this request
    /// only. `padding` is the smallest class to use. Throws if the key is invalid; traps if the arguments exceed
    /// `longestArguments`.
    public static func seal(
        _ method: RequestMethod, to target: NodeID, onionKey: [UInt8], network: Bytes32, time: UnixTime,
        padding: RequestClass = .bytes1024, source: BuildSource = .system, arguments: (Bytes32) -> [UInt8]
    ) throws(CryptoError) -> SealedRequest {
        let encapsulation = try source.encapsulate(onionKey)
        guard encapsulation.ciphertext.count == KEM.ciphertextSize else { throw .invalidCiphertext }
        let hash = Blake2b.digest(onionKey.rawSpan)
        let opening = Array(hash.array.prefix(8)) + encapsulation.ciphertext
        let keys = RequestKeys(
            shared: encapsulation.takeSecret(), network: network, node: target, onionKeyHash: hash,
            opening: opening.rawSpan)
        let body = arguments(keys.binding)
        let size = headSize + body.count
        guard let fitting = RequestClass(holding: max(size, padding.size)) else {
            preconditionFailure("arguments have a bound")
        }
        var writer = ByteWriter(capacity: fitting.size)
        writer.u32(units(of: time))
        writer.u8(method.rawValue)
        writer.u32(UInt32(body.count))
        writer.raw(body)
        writer.zeros(fitting.size - size)
        let sealed = keys.ask.seal(writer.bytes.rawSpan, associated: opening.rawSpan, counter: 0)
        return SealedRequest(target: target, envelope: opening + sealed, keys: keys)
    }

    /// Opens an envelope as its target; nil if it is altered, for another node, or malformed.
    ///
    /// It costs an X-Wing decapsulation, so it must run on another thread.
    public static func open(
        _ envelope: [UInt8], with key: OnionKeys.Key, node: NodeID, network: Bytes32
    ) -> OpenedRequest? {
        guard RequestClass(envelopeSize: envelope.count) != nil else { return nil }
        let opening = Array(envelope[..<openingSize])
        guard opening.prefix(8).elementsEqual(key.hash.array.prefix(8)) else { return nil }
        let ciphertext = Array(opening[8...])
        // A forged ciphertext gives another secret, and the tag does not verify.
        guard let shared = try? key.pair.decapsulate(ciphertext.rawSpan) else { return nil }
        let keys = RequestKeys(
            shared: shared, network: network, node: node, onionKeyHash: key.hash, opening: opening.rawSpan)
        let sealed = Array(envelope[openingSize...])
        guard let plain = keys.ask.open(sealed.rawSpan, associated: opening.rawSpan, counter: 0) else { return nil }
        var reader = ByteReader(plain.rawSpan)
        guard let time = try? reader.u32(), let method = try? reader.u8(), let length = try? reader.u32(),
            let arguments = try? reader.array(Int(length)), let rest = try? reader.bytes(reader.remaining), rest.isZero
        else { return nil }
        return OpenedRequest(units: time, method: method, arguments: arguments, opening: opening, keys: keys)
    }

    /// `time` in the units of a request.
    static func units(of time: UnixTime) -> UInt32 { UInt32(truncatingIfNeeded: time.seconds / timeUnit) }
}

/// The keys that a request's client and its target share.
struct RequestKeys: ~Copyable {
    private let root: Secret

    init(shared: borrowing Secret, network: Bytes32, node: NodeID, onionKeyHash: Bytes32, opening: RawSpan) {
        root = shared.derive(
            "request", context: network.array + node.key.array + onionKeyHash.array + [UInt8](copying: opening))
    }

    var ask: AEADKey { AEADKey(.chacha20poly1305, root.derive("ask")) }
    var answer: AnswerKeys { AnswerKeys(root.derive("answer")) }
    var binding: Bytes32 { RequestBinding.derive(from: root) }
}

/// The keys of the answers to one request: each answer has a salt, so that no two share a key.
///
/// A target that has forgotten a request, after its time or after a step of the clock, may answer it again. If both
/// answers had one key and nonce, a proxy could repeat a request and compute the first answer from a second one that it
/// knows.
struct AnswerKeys: ~Copyable {
    private let root: Secret

    init(_ root: consuming Secret) { self.root = root }

    func key(_ salt: [UInt8]) -> AEADKey { AEADKey(.chacha20poly1305, root.derive("salt", context: salt)) }
}

/// The value that a client's signature is bound to, so that it is valid in one request or one session only.
public enum RequestBinding {
    static func derive(from secret: borrowing Secret) -> Bytes32 {
        let binding = secret.derive("binding")
        return Bytes32(copying: binding.bytes)
    }

    /// The binding of the requests to a session's own terminal; `secret` is the session's.
    public static func ofSession(_ secret: borrowing Secret) -> Bytes32 { derive(from: secret) }
}

/// A request at its client: the envelope, and the keys that open the answer.
public final class SealedRequest: Sendable {
    /// The node that can open the envelope.
    public let target: NodeID
    /// The bytes for the target, in the size of a class.
    public let envelope: [UInt8]
    /// The request's binding.
    public let binding: Bytes32
    private let answerKeys: AnswerKeys

    init(target: NodeID, envelope: [UInt8], keys: borrowing RequestKeys) {
        self.target = target
        self.envelope = envelope
        binding = keys.binding
        answerKeys = keys.answer
    }

    /// Opens the target's answer; nil if it is altered, belongs to another request, or is malformed.
    public func open(_ sealed: [UInt8]) -> RequestAnswer? {
        guard RequestClass(answerSize: sealed.count) != nil else { return nil }
        let salt = Array(sealed[..<RequestEnvelope.saltSize])
        let text = Array(sealed[RequestEnvelope.saltSize...])
        return answerKeys.key(salt).open(text.rawSpan, associated: RawSpan(), counter: 0).flatMap(Self.decode)
    }

    private static func decode(_ plain: [UInt8]) -> RequestAnswer? {
        var reader = ByteReader(plain.rawSpan)
        guard let length = try? reader.u32(), let bytes = try? reader.array(Int(length)),
            let rest = try? reader.bytes(reader.remaining), rest.isZero
        else { return nil }
        return try? RequestAnswer(decoding: bytes.rawSpan)
    }
}

/// A request that its target has opened.
public final class OpenedRequest: Sendable {
    /// The number of the method; it may be an unknown one.
    public let method: UInt8
    /// The method's arguments.
    public let arguments: [UInt8]
    /// The request's binding.
    public let binding: Bytes32
    /// Key id and ciphertext, by which the target detects a replay.
    let opening: [UInt8]
    /// The request's time, in units.
    let units: UInt32
    private let answerKeys: AnswerKeys

    init(units: UInt32, method: UInt8, arguments: [UInt8], opening: [UInt8], keys: borrowing RequestKeys) {
        self.units = units
        self.method = method
        self.arguments = arguments
        self.opening = opening
        binding = keys.binding
        answerKeys = keys.answer
    }

    /// Whether the request's time is valid at `now`.
    public func isValid(at now: UnixTime) -> Bool {
        let (here, there) = (now.seconds / RequestEnvelope.timeUnit, UInt64(units))
        return (here > there ? here - there : there - here) <= RequestEnvelope.timeTolerance
    }

    /// Seals an answer; `salt` is 16 random bytes, new for each answer.
    ///
    /// An answer that does not fit into `largest` becomes status 4, `full`.
    func seal(_ answer: RequestAnswer, salt: [UInt8], largest: RequestClass = .bytes65792) -> [UInt8] {
        precondition(salt.count == RequestEnvelope.saltSize, "a salt has 16 bytes")
        var answer = answer
        if RequestEnvelope.answerHeadSize + answer.result.count > largest.size { answer = RequestAnswer(.full) }
        let size = RequestEnvelope.answerHeadSize + answer.result.count
        let fitting = RequestClass(holding: size) ?? largest
        var writer = ByteWriter(capacity: fitting.size)
        writer.u32(UInt32(1 + answer.result.count))
        writer.u8(answer.status.rawValue)
        writer.raw(answer.result)
        writer.zeros(fitting.size - size)
        return salt + answerKeys.key(salt).seal(writer.bytes.rawSpan, associated: RawSpan(), counter: 0)
    }
}
