public import OnionCrypto
public import Wire

/// The initiator's side of a link handshake, with its retries (protocol.md, sections 3.1, 3.4 and 3.6).
///
/// Call `poll` at once and at each `nextDeadline`, and send the datagrams that it returns. Pass datagrams for
/// `localIndex` to `receive`.
///
/// It has more members than most types: half of them are the arguments of the handshake.
public struct LinkInitiator: ~Copyable {
    /// The times at which initiations are repeated.
    public struct Timing: Sendable {
        /// The wait before the first repetition; each further one is twice as long.
        public var firstRetry = TimeSpan.milliseconds(250)
        /// The longest wait between two repetitions.
        public var longestRetry = TimeSpan.seconds(4)
        /// The longest wait after a cookie has come, or twice the round trip if that is longer.
        ///
        /// A busy responder drops initiations; frequent repetition gets one in soon.
        public var longestBusyRetry = TimeSpan.seconds(1)
        /// How long after the start the handshake fails.
        public var total = TimeSpan.seconds(10)

        /// The protocol's values.
        public init() {}
    }

    /// What the caller must do next.
    public enum Step: Equatable {
        /// Sends this datagram to the responder.
        case send([UInt8])
        /// Nothing to do until `nextDeadline`.
        case wait
        /// No answer came in time.
        case failed
    }

    /// The result of an incoming datagram.
    public enum Outcome: ~Copyable {
        /// The datagram had no effect.
        case drop(LinkDropReason)
        /// A cookie: `poll` gives the next initiation at once.
        case cookie
        /// The link is established; at the responder it is half-open until a packet of this side arrives.
        case established(NewLink)
    }

    /// An initiation whose answer may still come.
    private struct Attempt: ~Copyable {
        let handshake: NoiseHandshake
        let sentAt: Instant
    }

    private static let cookieLifetime = TimeSpan.seconds(120)
    /// How many cookies are each followed by an initiation at once.
    private static let cookieResends = 3
    /// How many initiations are remembered for a late cookie: all that are sent in the first four seconds.
    private static let rememberedInitiations = 5

    /// The receiver index of the answers to this handshake.
    public let localIndex: UInt32
    /// The node id of the responder.
    public let responder: Bytes32
    private let network: LinkNetwork
    private let responderKey: Bytes32
    private let identity: LinkIdentity?
    private let suites: SuiteSet
    private let timing: Timing
    private let macKey: Secret
    private let giveUpAt: Instant
    private var latest: Attempt?
    /// The previous attempt, whose answer may be under way if the round trip takes longer than the first retry.
    private var earlier: Attempt?
    /// The initiations whose cookies may still come.
    private var sent: [(mac1: [UInt8], at: Instant)] = []
    private var retryDelay: TimeSpan
    /// The longest wait between initiations to this responder.
    private var longestRetry: TimeSpan
    private var cookie: (bytes: [UInt8], at: Instant)?
    private var resendsLeft = LinkInitiator.cookieResends
    /// When to call `poll` next.
    public private(set) var nextDeadline: Instant

    /// A handshake with the node `responder`, by a node (`identity`) or by a client (nil).
    ///
    /// Throws when `responder` is not a public key. `localIndex` is chosen at random, at least 256 and unused.
    public init(
        network: LinkNetwork, responder: Bytes32, identity: LinkIdentity?, localIndex: UInt32,
        suites: SuiteSet = .available, timing: Timing = Timing(), now: Instant
    ) throws(CryptoError) {
        precondition(localIndex >= Packet.firstReceiverIndex, "small receiver indices are handshake types")
        responderKey = try SigningKey.agreementKey(of: responder)
        self.network = network
        self.responder = responder
        self.identity = identity
        self.localIndex = localIndex
        self.suites = suites
        self.timing = timing
        macKey = network.macKey(of: responder)
        giveUpAt = now + timing.total
        retryDelay = timing.firstRetry
        longestRetry = timing.longestRetry
        nextDeadline = now
        latest = nil
        earlier = nil
    }

    /// The next initiation when one is due; `wallClock` is nanoseconds since 1970, used by nodes only.
    public mutating func poll(now: Instant, wallClock: UInt64) -> Step {
        guard now < giveUpAt else { return .failed }
        guard now >= nextDeadline else { return .wait }
        nextDeadline = min(now + retryDelay, giveUpAt)
        retryDelay = min(retryDelay * 2, longestRetry)
        return .send(initiation(now: now, wallClock: wallClock))
    }

    private var kind: HandshakeKind { identity == nil ? .clientInitiation : .nodeInitiation }

    private mutating func initiation(now: Instant, wallClock: UInt64) -> [UInt8] {
        let kind = kind
        let prologue = network.prologue(kind, responder: responder)
        var handshake = NoiseHandshake(
            initiator: kind.pattern, prologue: prologue.rawSpan, identity: identity, remoteStatic: responderKey)

        let payloadSize = network.packetSize - 40 - kind.pattern.firstOverhead
        var payload = ByteWriter(capacity: payloadSize)
        payload.u8(suites.rawValue)
        payload.u8(0)
        if let identity {
            payload.u64(identity.nextTimestamp(wallClock))
            payload.bytes32(identity.nodeID)
        } else {
            payload.u64(0)
        }
        payload.zeros(payloadSize - payload.bytes.count)

        var message = ByteWriter(capacity: network.packetSize)
        message.u32(kind.rawValue)
        message.u32(localIndex)
        guard let noise = try? handshake.writeFirst(payload.bytes.rawSpan) else {
            // Unreachable: `init` refuses a responder's key of low order. The responder drops a datagram of zeros.
            return [UInt8](repeating: 0, count: network.packetSize)
        }
        message.raw(noise)
        let mac1 = Blake2b.mac16(key: macKey.bytes, message.bytes.rawSpan)
        message.raw(mac1)
        if let cookie, now - cookie.at < Self.cookieLifetime {
            message.raw(Blake2b.mac16(key: cookie.bytes.rawSpan, message.bytes.rawSpan))
        } else {
            message.zeros(HandshakeLayout.macSize)
        }
        earlier = latest.take()
        latest = Attempt(handshake: handshake, sentAt: now)
        if sent.count == Self.rememberedInitiations { sent.removeFirst() }
        sent.append((mac1, now))
        return message.bytes
    }

    // MARK: Answers

    /// Takes a response or cookie whose receiver index is `localIndex`.
    public mutating func receive(_ datagram: RawSpan, now: Instant) -> Outcome {
        guard datagram.byteCount == network.packetSize else { return .drop(.wrongSize) }
        var reader = ByteReader(datagram)
        guard let type = try? reader.u32(), let kind = HandshakeKind(rawValue: type) else { return .drop(.unknownType) }
        switch kind {
        case .response: return response(datagram, now: now)
        case .cookie: return takeCookie(datagram, now: now)
        case .nodeInitiation, .clientInitiation: return .drop(.unknownType)
        }
    }

    private mutating func takeCookie(_ datagram: RawSpan, now: Instant) -> Outcome {
        guard Self.index(datagram, at: HandshakeLayout.cookieReceiverIndex) == localIndex else {
            return .drop(.unexpectedAnswer)
        }
        let nonce = datagram.extracting(HandshakeLayout.cookieNonce..<HandshakeLayout.cookieSealed)
        let sealed = datagram.extracting(HandshakeLayout.cookieSealed..<HandshakeLayout.cookieRandom)
        let key = network.cookieKey(of: responder)
        var opened: (bytes: [UInt8], sentAt: Instant)?
        for sent in sent.reversed() where opened == nil {
            let bytes = XChaCha20Poly1305.open(sealed, associated: sent.mac1.rawSpan, nonce: nonce, key: key)
            opened = bytes.map { ($0, sent.at) }
        }
        guard let opened, opened.bytes.count == CookieJar.size else { return .drop(.badHandshake) }
        cookie = (opened.bytes, now)
        // Two attempts are kept, so the answer to one must arrive before the second attempt after it is sent.
        let roundTrip = now - opened.sentAt
        longestRetry = min(timing.longestRetry, max(timing.longestBusyRetry, roundTrip * 2))
        guard resendsLeft > 0 else { return .drop(.unexpectedAnswer) }
        resendsLeft -= 1
        sent = []
        retryDelay = min(max(timing.firstRetry, roundTrip), longestRetry)
        nextDeadline = now
        return .cookie
    }

    private mutating func response(_ datagram: RawSpan, now: Instant) -> Outcome {
        guard Self.index(datagram, at: HandshakeLayout.responseReceiverIndex) == localIndex,
            let remoteIndex = Self.index(datagram, at: HandshakeLayout.senderIndex)
        else { return .drop(.unexpectedAnswer) }
        guard remoteIndex >= Packet.firstReceiverIndex else { return .drop(.malformed) }
        let noise = datagram.extracting(HandshakeLayout.responseNoise..<datagram.byteCount)
        if let link = Self.finish(latest, noise, self, remoteIndex, now) { return .established(link) }
        if let link = Self.finish(earlier, noise, self, remoteIndex, now) { return .established(link) }
        return .drop(.badHandshake)
    }

    /// The link made by a response to `attempt`; nil if the response is not authentic or not valid.
    private static func finish(
        _ attempt: borrowing Attempt?, _ noise: RawSpan, _ initiator: borrowing LinkInitiator, _ remoteIndex: UInt32,
        _ now: Instant
    ) -> NewLink? {
        switch attempt {
        case .none: return nil
        case .some(let attempt):
            guard let result = try? attempt.handshake.readSecond(noise) else { return nil }
            let payload = result.bytes
            var reader = ByteReader(payload.rawSpan)
            guard let suiteByte = try? reader.u8(), let reserved = try? reader.u8(), let time = try? reader.u64(),
                let suite = Suite(rawValue: suiteByte), initiator.suites.holds(suite), reserved == 0
            else { return nil }
            return NewLink(
                keys: result.takeKeys(), network: initiator.network, isInitiator: true, suite: suite,
                localIndex: initiator.localIndex, remoteIndex: remoteIndex, peer: initiator.responder,
                peerTime: UnixTime(seconds: time), roundTrip: now - attempt.sentAt, now: now)
        }
    }

    private static func index(_ datagram: RawSpan, at offset: Int) -> UInt32? {
        var reader = ByteReader(datagram)
        do throws(WireError) {
            try reader.skip(offset)
            return try reader.u32()
        } catch {
            return nil
        }
    }
}
