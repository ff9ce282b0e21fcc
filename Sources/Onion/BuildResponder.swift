internal import OnionCrypto
public import Wire

/// Why a hop resets the stream of a BUILD instead of answering it.
public enum BuildFault: UInt8, Sendable, CaseIterable {
    /// The message has the wrong size.
    case size
    /// The record names an onion key that the node does not hold.
    case unknownKey
    /// The record does not verify, or an ephemeral is a point of low order.
    case unreadable
    /// The record's body has a field value that no client writes.
    case malformed
    /// The record has been seen before.
    case replayed

    /// The name in status and metrics.
    public var name: String {
        switch self {
        case .size: "size"
        case .unknownKey: "unknownKey"
        case .unreadable: "unreadable"
        case .malformed: "malformed"
        case .replayed: "replayed"
        }
    }
}

/// The result of a BUILD message.
public enum BuildOutcome: ~Copyable {
    /// Reset the stream; the previous hop then answers with a refusal of its own.
    case unreadable(BuildFault)
    /// Answer with `reply.answer(status)` and path id 0.
    case refuse(BuildStatus, HopReply)
    /// Send `records` on to `node`; then wrap its answer with `reply`, or refuse with it.
    case onward(node: Bytes32, records: [UInt8], HopKeys, HopReply)
    /// The path ends here: answer with `reply.answer(.ready)`.
    case terminal(HopKeys, HopReply, SessionSecrets)
}

/// A node's side of building paths (protocol.md, section 6).
public struct BuildResponder: ~Copyable {
    private let network: Bytes32
    private let node: Bytes32
    /// The onion keys; the owner rotates them.
    public var keys: OnionKeys
    private var cache: BuildReplayCache

    /// The responder of `node` in `network`.
    public init(network: Bytes32, node: Bytes32, keys: OnionKeys, cache: consuming BuildReplayCache) {
        self.network = network
        self.node = node
        self.keys = keys
        self.cache = cache
    }

    /// Opens the first of the four records of a BUILD message and peels the others.
    ///
    /// Costs one X-Wing decapsulation, one X25519 key pair and one exchange, so the limits on builds are checked
    /// before. `number` is that of the message's source (``BuildReplayCache/enter(_:time:of:now:)``).
    public mutating func open(
        _ records: RawSpan, from number: UInt64, time: UnixTime, now: Instant, source: BuildSource = .system
    ) -> BuildOutcome {
        guard records.byteCount == BuildMessage.recordsSize else { return .unreadable(.size) }
        let keyID = unsafe UInt64(littleEndian: records.unsafeLoadUnaligned(as: UInt64.self))
        guard let onionKey = keys.key(id: keyID) else { return .unreadable(.unknownKey) }

        let record = records.extracting(0..<BuildMessage.recordSize)
        guard !cache.contains(record, now: now) else { return .unreadable(.replayed) }

        let opening = records.extracting(0..<BuildMessage.sealedOffset)
        let shared: Secret
        do {
            shared = try onionKey.pair.decapsulate(
                records.extracting(BuildMessage.ciphertextOffset..<BuildMessage.ephemeralOffset))
        } catch { return .unreadable(.unreadable) }
        let build = BuildKeys(
            shared: shared, network: network, node: node, onionKeyHash: onionKey.hash, opening: opening)
        guard
            let plain = build.record.open(
                record.extracting(BuildMessage.sealedOffset..<BuildMessage.recordSize),
                associated: BuildRecords.associated(records).rawSpan, counter: 0)
        else { return .unreadable(.unreadable) }
        let body: BuildBody
        do { body = try BuildBody(decoding: plain.rawSpan) } catch { return .unreadable(.malformed) }

        var isTimely = BuildMessage.isValid(units: body.timeUnits, at: time)
        var isFull = false
        if isTimely {
            switch cache.enter(record, time: UInt64(body.timeUnits), of: number, now: now) {
            case .new: break
            case .replayed: return .unreadable(.replayed)
            case .full: isFull = true
            case .forgotten: isTimely = false
            }
        }

        let ephemeral = source.ephemeral()
        let exchange: Secret
        do {
            exchange = try ephemeral.agree(
                with: Bytes32(copying: records.extracting(BuildMessage.ephemeralOffset..<BuildMessage.sealedOffset)))
        } catch { return .unreadable(.unreadable) }
        let secret = build.path(exchange: exchange, record: record, hopEphemeral: ephemeral.publicKey)
        let reply = HopReply(secret: secret, slot: Int(body.slot), ephemeral: ephemeral.publicKey)
        guard isTimely else { return .refuse(.timeInvalid, reply) }
        guard !isFull else { return .refuse(.overloaded, reply) }
        guard let suite = Suite(rawValue: body.suite), suite.isAvailable else {
            return .refuse(.suiteUnavailable, reply)
        }
        let layers = HopKeys(secret: secret, slot: Int(body.slot), suite: suite)
        if body.isTerminal { return .terminal(layers, reply, SessionSecrets(secret: secret)) }
        return .onward(node: body.nextNode, records: BuildRecords.peel(records, build), layers, reply)
    }
}
