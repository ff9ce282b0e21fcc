public import OnionCrypto
public import Wire

/// The responder's side of link handshakes (protocol.md, sections 3.2 to 3.4 and 3.6).
///
/// It keeps entries only for sources that have shown a cookie, for endpoints of known nodes, and for staked nodes whose
/// initiation was accepted.
///
/// It has more members than most types: a memory or a rate for each kind of source.
public struct LinkResponder: ~Copyable {
    /// Local limits.
    ///
    /// It has more members than most types: one for each limit.
    public struct Limits: Sendable {
        /// Initiations a second from one source address, or one IPv6 /56, that has shown a cookie.
        public var initiationsPerSource = 20
        /// The burst of that rate.
        public var sourceBurst = 40
        /// How many sources are remembered.
        public var sources = 4_096
        /// Initiations a second above which nodes must show a cookie too.
        public var loadThreshold = 200
        /// Cookies sent a second to one address, or one IPv6 /56.
        public var cookiesPerAddress = 2_000
        /// Cookies sent a second to one /16 of IPv4 or /32 of IPv6.
        public var cookiesPerPrefix = 8_000
        /// Cookies sent a second in all: about the capacity of a third of a core.
        public var cookies = 16_000
        /// Handshakes a second, after the cookie, of sources that have had none for a minute: about a quarter of a
        /// core.
        public var freshHandshakes = 700
        /// Handshakes a second of all other sources.
        public var otherHandshakes = 150
        /// Handshakes a second of sources that come back within a minute and have no link up, once each.
        public var returningHandshakes = 150
        /// The burst of each of these rates, during which packets wait for 12 ms.
        public var handshakeBurst = 64
        /// A separate rate for addresses of known nodes, with the same burst; above it the two rates count.
        public var knownHandshakes = 200
        /// Under load, initiations a second from endpoints of known nodes that need no cookie.
        public var knownInitiations = 500
        /// The same for one endpoint, with a burst of twice as many.
        public var knownPerEndpoint = 2
        /// Client initiations remembered per cookie secret; when the memory is full, the secret changes early.
        public var clientInitiations = 65_536
        /// Nodes whose last timestamp is remembered.
        public var nodes = 65_536

        /// The limits of a node.
        public init() {}
    }

    /// The result of an initiation.
    public enum Outcome: ~Copyable {
        /// The initiation is dropped and nothing is sent.
        case drop(LinkDropReason)
        /// Sends this datagram back to the source; it is as long as the initiation.
        case cookie([UInt8])
        /// A link may be made.
        case accepted(AcceptedInitiation)
    }

    private let network: LinkNetwork
    private let identity: LinkIdentity
    private let suites: SuiteSet
    private let limits: Limits
    private let macKey: Secret
    private let cookieKey: Secret
    /// The key of the bytes that pad a cookie's datagram.
    private let paddingKey = Secret.random()
    private var jar: CookieJar
    private var cookies: CookieRates
    private var handshakes: HandshakeBudget
    private var knownHandshakes: SharedRate<AddressShare, Never>
    private var sources: SourceRates
    private var known: SourceRates
    private var knownBucket: TokenBucket
    private var load: LoadMeter
    private var clients: InitiationCache
    private var timestamps: [Bytes32: TimestampMemory] = [:]

    /// A responder for the node `identity`.
    public init(
        network: LinkNetwork, identity: LinkIdentity, suites: SuiteSet = .available, limits: Limits = Limits(),
        now: Instant
    ) {
        self.network = network
        self.identity = identity
        self.suites = suites
        self.limits = limits
        macKey = network.macKey(of: identity.nodeID)
        cookieKey = network.cookieKey(of: identity.nodeID)
        jar = CookieJar(now: now)
        cookies = CookieRates(
            perAddress: limits.cookiesPerAddress, perPrefix: limits.cookiesPerPrefix, inAll: limits.cookies, now: now)
        handshakes = HandshakeBudget(
            fresh: limits.freshHandshakes, others: limits.otherHandshakes, returning: limits.returningHandshakes,
            burst: limits.handshakeBurst, now: now)
        knownHandshakes = SharedRate(perSecond: limits.knownHandshakes, burst: limits.handshakeBurst, now: now)
        sources = SourceRates(rate: limits.initiationsPerSource, burst: limits.sourceBurst, capacity: limits.sources)
        known = SourceRates(
            rate: limits.knownPerEndpoint, burst: 2 * limits.knownPerEndpoint, capacity: limits.sources)
        knownBucket = TokenBucket(perSecond: limits.knownInitiations, burst: limits.knownInitiations, now: now)
        load = LoadMeter(threshold: limits.loadThreshold, now: now)
        clients = InitiationCache(capacity: limits.clientInitiations)
    }

    /// Processes a datagram that begins a handshake: its first four bytes are below 256, and it is not an answer.
    ///
    /// `wallClock` is nanoseconds since 1970. `isStaked` says whether a node id is staked, `isKnown` whether a staked
    /// node's descriptor has an endpoint, `isKnownAddress` whether one has its address, and `hasLink` whether a client
    /// at an address has a link up.
    public mutating func receive(
        _ datagram: RawSpan, from source: Endpoint, now: Instant, wallClock: UInt64,
        isStaked: (Bytes32) -> Bool, isKnown: (Endpoint) -> Bool = { _ in false },
        isKnownAddress: (IPAddress) -> Bool = { _ in false }, hasLink: (AddressShare) -> Bool = { _ in false }
    ) -> Outcome {
        guard datagram.byteCount == network.packetSize else { return .drop(.wrongSize) }
        let kind: HandshakeKind
        switch HandshakeKind(rawValue: datagram.receiverIndex) {
        case .nodeInitiation: kind = .nodeInitiation
        case .clientInitiation: kind = .clientInitiation
        case .response, .cookie, nil: return .drop(.unknownType)
        }

        // 1: mac1, before any other work.
        let mac1Offset = HandshakeLayout.mac1(network.packetSize)
        let mac1 = datagram.extracting(mac1Offset..<mac1Offset + HandshakeLayout.macSize)
        let expected = Blake2b.mac16(key: macKey.bytes, datagram.extracting(0..<mac1Offset))
        guard constantTimeEqual(expected.rawSpan, mac1) else { return .drop(.badMAC) }
        var reader = ByteReader(datagram)
        guard (try? reader.u32()) != nil, let remoteIndex = try? reader.u32(), remoteIndex >= Packet.firstReceiverIndex
        else { return .drop(.malformed) }

        // 2: the source must have shown that it receives packets.
        jar.advance(to: now)
        let isLoaded = load.count(now: now)
        clients.advance(toRotation: jar.rotation)
        let noise = datagram.extracting(HandshakeLayout.initiationNoise..<mac1Offset)
        if kind == .clientInitiation || isLoaded {
            if jar.verify(datagram, from: source) {
                let share = AddressShare(source.address)
                guard sources.take(share, now: now) else { return .drop(.sourceLimit) }
                if kind == .clientInitiation, clients.contains(Bytes32(copying: noise.extracting(0..<32))) {
                    return .drop(.replayedInitiation)
                }
                // Nodes that test this node, or link to it, must not wait for a flood to end.
                let isFirst = isKnownAddress(source.address) && knownHandshakes.take(share, now)
                guard isFirst || handshakes.take(share, hasLink: hasLink(share), now: now) else {
                    return .drop(.handshakeLimit)
                }
            } else if kind == .clientInitiation || !passesAsKnown(source, now: now, isKnown) {
                guard cookies.take(source.address, now: now) else { return .drop(.cookieLimit) }
                return .cookie(cookieMessage(to: source, index: remoteIndex, mac1: mac1))
            }
        }

        // 3: the Noise message.
        return read(
            noise, kind: kind, remoteIndex: remoteIndex, now: now, wallClock: wallClock, isStaked: isStaked)
    }

    /// Whether an initiation is accepted without a cookie under load because it comes from a known node's endpoint.
    ///
    /// The source address may still be forged. Such initiations therefore have separate rates, for each endpoint and
    /// for all; beyond these a cookie is required as usual.
    private mutating func passesAsKnown(_ source: Endpoint, now: Instant, _ isKnown: (Endpoint) -> Bool) -> Bool {
        isKnown(source) && known.take(source, now: now) && knownBucket.take(now: now)
    }

    private mutating func read(
        _ noise: RawSpan, kind: HandshakeKind, remoteIndex: UInt32, now: Instant, wallClock: UInt64,
        isStaked: (Bytes32) -> Bool
    ) -> Outcome {
        let prologue = network.prologue(kind, responder: identity.nodeID)
        var handshake = NoiseHandshake(responder: kind.pattern, prologue: prologue.rawSpan, identity: identity)
        guard let payload = try? handshake.readFirst(noise) else { return .drop(.badHandshake) }
        var fields = ByteReader(payload.rawSpan)
        guard let offered = try? fields.u8(), let reserved = try? fields.u8(), let timestamp = try? fields.u64(),
            reserved == 0, let suite = suites.intersection(SuiteSet(rawValue: offered)).preferred
        else { return .drop(.malformed) }

        var peer: Bytes32?
        switch kind {
        case .nodeInitiation:
            guard let nodeID = try? fields.bytes32(), nodeID != identity.nodeID else { return .drop(.malformed) }
            guard isStaked(nodeID), (try? SigningKey.agreementKey(of: nodeID)) == handshake.remoteStatic else {
                return .drop(.notStaked)
            }
            if timestamps.count >= limits.nodes, timestamps[nodeID] == nil { forgetNodes(isStaked) }
            guard timestamps[nodeID, default: TimestampMemory()].accept(timestamp, wallClock: wallClock) else {
                return .drop(.staleTimestamp)
            }
            peer = nodeID
        case .clientInitiation:
            guard timestamp == 0 else { return .drop(.malformed) }
            guard let ephemeral = handshake.remoteEphemeral else { return .drop(.badHandshake) }
            if !clients.hasRoom {
                // A new secret voids the older half of the cookies, so the keys that came with them can be removed.
                jar.rotate(at: now)
                clients.advance(toRotation: jar.rotation)
            }
            clients.insert(ephemeral)
        case .response, .cookie: return .drop(.unknownType)
        }
        return .accepted(
            AcceptedInitiation(
                handshake: handshake, network: network, remoteIndex: remoteIndex, suite: suite, peer: peer,
                peerTime: peer == nil ? nil : UnixTime(seconds: timestamp / 1_000_000_000)))
    }

    /// Makes room by removing nodes that are no longer staked: these cannot link again without passing the stake check.
    private mutating func forgetNodes(_ isStaked: (Bytes32) -> Bool) {
        timestamps = timestamps.filter { isStaked($0.key) }
    }

    private func cookieMessage(to source: Endpoint, index: UInt32, mac1: RawSpan) -> [UInt8] {
        let nonce = SecureRandom.bytes(HandshakeLayout.cookieSealed - HandshakeLayout.cookieNonce)
        var message = ByteWriter(capacity: network.packetSize)
        message.u32(HandshakeKind.cookie.rawValue)
        message.u32(index)
        message.raw(nonce)
        message.raw(
            XChaCha20Poly1305.seal(
                jar.cookie(for: source).rawSpan, associated: mac1, nonce: nonce.rawSpan, key: cookieKey))
        // Drawing the padding from the system would be a third of the cost of a cookie.
        let zeros = [UInt8](repeating: 0, count: network.packetSize - HandshakeLayout.cookieRandom - AEADKey.tagSize)
        message.raw(
            XChaCha20Poly1305.seal(zeros.rawSpan, associated: mac1, nonce: nonce.rawSpan, key: paddingKey))
        return message.bytes
    }
}

/// An accepted initiation that has not been answered yet.
public struct AcceptedInitiation: ~Copyable {
    private let handshake: NoiseHandshake
    private let network: LinkNetwork
    private let remoteIndex: UInt32
    private let suite: Suite
    /// The initiating node's id; nil for a client.
    public let peer: Bytes32?
    private let peerTime: UnixTime?

    init(
        handshake: consuming NoiseHandshake, network: LinkNetwork, remoteIndex: UInt32, suite: Suite, peer: Bytes32?,
        peerTime: UnixTime?
    ) {
        self.handshake = handshake
        self.network = network
        self.remoteIndex = remoteIndex
        self.suite = suite
        self.peer = peer
        self.peerTime = peerTime
    }

    /// Makes the link and the response to send; nil if the initiator's key is a low-order point.
    ///
    /// `localIndex` is chosen at random, at least 256 and unused. `time` is the time that the response reports to the
    /// initiator.
    public consuming func respond(localIndex: UInt32, time: UnixTime, now: Instant) -> LinkResponse? {
        precondition(localIndex >= Packet.firstReceiverIndex, "small receiver indices are handshake types")
        let payloadSize = network.packetSize - HandshakeLayout.responseNoise - NoisePattern.secondOverhead
        var payload = ByteWriter(capacity: payloadSize)
        payload.u8(suite.rawValue)
        payload.u8(0)
        payload.u64(time.seconds)
        payload.zeros(payloadSize - payload.bytes.count)
        let network = network
        let remoteIndex = remoteIndex
        let suite = suite
        let peer = peer
        let peerTime = peerTime
        guard let result = try? handshake.writeSecond(payload.bytes.rawSpan) else { return nil }
        var message = ByteWriter(capacity: network.packetSize)
        message.u32(HandshakeKind.response.rawValue)
        message.u32(localIndex)
        message.u32(remoteIndex)
        message.raw(result.bytes)
        return LinkResponse(
            bytes: message.bytes,
            link: NewLink(
                keys: result.takeKeys(), network: network, isInitiator: false, suite: suite, localIndex: localIndex,
                remoteIndex: remoteIndex, peer: peer, peerTime: peerTime, now: now))
    }
}

/// A response to send and the link that it makes, which is half-open until a packet under its keys comes.
public struct LinkResponse: ~Copyable {
    /// The datagram, to be sent to the initiation's source.
    public let bytes: [UInt8]
    private let link: NewLink

    init(bytes: [UInt8], link: consuming NewLink) {
        self.bytes = bytes
        self.link = link
    }

    /// The link, moved out.
    public consuming func takeLink() -> NewLink { link }
}
