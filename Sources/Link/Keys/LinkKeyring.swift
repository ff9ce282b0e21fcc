internal import OnionCrypto
public import Wire

/// The generations of a link's keys, how they are made and when they end (protocol.md, sections 3.5, 3.7 and 4).
///
/// It belongs to worker 0, as the control connection does. Packets in need a ``LinkReceiver``, and packets out a ``LinkSender`` of
/// ``line``: the two types that packets touch, to which new keys are handed on.
public struct LinkKeyring: ~Copyable {
    /// The times at which keys change and end.
    public struct Timing: Sendable {
        /// The age of the keys at which the link's initiator rekeys.
        public var rekeyAfter = TimeSpan.seconds(120)
        /// The number of packets under one key at which it rekeys.
        public var rekeyAfterPackets: UInt64 = 1 << 60
        /// How long the old keys are kept after the peer's first packet under the new ones.
        public var overlap = TimeSpan.seconds(10)
        /// The age at which any key ends; the link ends with the current one.
        public var keyLifetime = TimeSpan.seconds(180)
        /// The wait after a failed rekey.
        public var rekeyRetry = TimeSpan.seconds(10)

        /// The protocol's values.
        public init() {}
    }

    /// An answer to REKEY, and the keys that wait for the peer's first packet.
    public struct RekeyAnswer: ~Copyable {
        /// The body of the answer.
        public let body: [UInt8]
        /// The line for all senders once the peer uses the keys.
        public let line: LinkLine
        private let keys: ReceivingKeys

        init(_ body: [UInt8], _ line: LinkLine, _ keys: consuming ReceivingKeys) {
            self.body = body
            self.line = line
            self.keys = keys
        }

        /// The keys, for ``LinkReceiver/expect(_:)`` before the answer is sent.
        public consuming func takeKeys() -> ReceivingKeys { keys }
    }

    /// Whether this end began the link; it then also begins rekeys.
    public let isInitiator: Bool
    private let network: LinkNetwork
    /// The times of keys; set it right after the handshake if at all.
    public var timing = Timing()
    private let suite: Suite
    private var current: SendingKeys
    /// What the peer's first packet under the waiting keys makes the current ones.
    private var next: SendingKeys?
    /// The line before the current one, until all senders have the new one.
    private var replaced: LinkLine?
    /// A rekey that waits for its answer, and the local index of its keys.
    private var pending: NoiseHandshake?
    private var pendingIndex: UInt32?
    private var rekeyNotBefore: Instant
    /// Local indices of rekeys that failed and were not returned by `takeRetired` yet.
    private var retired: [UInt32] = []
    private var isConfirmed = false
    private var sendControlNext: UInt64
    private let sendControlStart: UInt64

    init(
        _ split: borrowing SplitKeys, network: LinkNetwork, isInitiator: Bool, suite: Suite, remoteIndex: UInt32,
        now: Instant
    ) {
        self.network = network
        self.isInitiator = isInitiator
        self.suite = suite
        sendControlStart = split.controlStart(ofInitiator: isInitiator)
        sendControlNext = sendControlStart
        current = SendingKeys(split, isInitiator: isInitiator, suite: suite, remoteIndex: remoteIndex, now: now)
        rekeyNotBefore = now
        next = nil
        pending = nil
    }

    /// The sending side of the current keys.
    public var line: LinkLine { current.line }

    // MARK: Control packets

    /// The packet number that the next control packet will have.
    public var nextControlNumber: UInt64 { sendControlNext - sendControlStart }

    /// Skips `count` packet numbers, so that acknowledgements of packets never sent can be detected.
    public mutating func skipControlNumbers(_ count: UInt64) { sendControlNext &+= count }

    /// Seals in place the payload of a control packet whose header is sealed next, under `line`, and writes slots and path id.
    ///
    /// A sender may have gone over to the waiting keys' line before ``switched()`` is called.
    public mutating func sealControl(_ packet: inout MutableRawSpan, for line: LinkLine) {
        let counter = sendControlNext
        sendControlNext = counter &+ 1
        if next?.sealControl(&packet, counter: counter, ifFor: line) ?? false { return }
        current.sealControl(&packet, counter: counter)
    }

    // MARK: What the receiver tells

    /// The peer's first packet has come.
    public mutating func confirmed() { isConfirmed = true }

    /// The peer has begun to use the keys that waited: their line is the current one now, for all senders.
    ///
    /// Afterwards, ``retireReplaced()`` ends the old one.
    public mutating func switched() {
        guard let keys = next.take() else { return }
        replace(with: keys)
    }

    private mutating func replace(with keys: consuming SendingKeys) {
        retireReplaced()
        replaced = current.line
        current = keys
    }

    /// Ends the line before ``line``, which no sender needs any more.
    public mutating func retireReplaced() {
        replaced?.retire()
        replaced = nil
    }

    // MARK: Rekey

    /// The length of the body of REKEY and of its answer.
    public static let rekeyMessageSize = 52

    /// Whether it is time to call `startRekey`.
    public func wantsRekey(now: Instant) -> Bool {
        guard isInitiator, isConfirmed, pendingIndex == nil, now >= rekeyNotBefore else { return false }
        return now - current.createdAt >= timing.rekeyAfter || current.line.taken >= timing.rekeyAfterPackets
    }

    /// The body of a REKEY message; `localIndex` is for the new keys, chosen at random and unused.
    public mutating func startRekey(localIndex: UInt32) -> [UInt8] {
        precondition(isInitiator, "the link's initiator begins rekeys")
        let prologue = network.rekeyPrologue
        var handshake = NoiseHandshake(
            initiator: .nnPSK0, prologue: prologue.rawSpan, psk: current.takeRekeySecret())
        var body = ByteWriter(capacity: Self.rekeyMessageSize)
        body.u32(localIndex)
        // Without a static key there is no exchange in the first message that could fail.
        if let message = try? handshake.writeFirst(RawSpan()) { body.raw(message) }
        if let pendingIndex { retired.append(pendingIndex) }
        pending = consume handshake
        pendingIndex = localIndex
        return body.bytes
    }

    /// Processes the answer to REKEY; nil if it is not valid.
    ///
    /// Otherwise ``line`` is new, and so are the keys returned, for ``LinkReceiver/renew(_:)``. Once receiver and senders have them,
    /// ``retireReplaced()`` ends the old line, and a packet should be sent soon.
    public mutating func finishRekey(_ answer: RawSpan, now: Instant) -> ReceivingKeys? {
        guard let rekey = pending.take(), let localIndex = pendingIndex else { return nil }
        pendingIndex = nil
        guard answer.byteCount == Self.rekeyMessageSize, answer.receiverIndex >= Packet.firstReceiverIndex,
            let result = try? rekey.readSecond(answer.extracting(4..<answer.byteCount))
        else {
            retired.append(localIndex)
            rekeyNotBefore = now + timing.rekeyRetry
            return nil
        }
        let split = result.takeKeys()
        replace(
            with: SendingKeys(split, isInitiator: true, suite: suite, remoteIndex: answer.receiverIndex, now: now))
        return ReceivingKeys(split, isInitiator: true, suite: suite, localIndex: localIndex, now: now)
    }

    /// Gives up a rekey without an answer; another is tried later.
    public mutating func rekeyFailed(now: Instant) {
        guard let pendingIndex else { return }
        pending = nil
        retired.append(pendingIndex)
        self.pendingIndex = nil
        rekeyNotBefore = now + timing.rekeyRetry
    }

    /// Answers the peer's REKEY; nil if it is not valid, comes from the responder, or comes too soon after the last
    /// one.
    ///
    /// `localIndex` is for the new keys, chosen at random and unused. The new keys are used after a packet under them
    /// has come.
    public mutating func answerRekey(_ body: RawSpan, localIndex: UInt32, now: Instant) -> RekeyAnswer? {
        guard !isInitiator, body.byteCount == Self.rekeyMessageSize,
            body.receiverIndex >= Packet.firstReceiverIndex, now >= rekeyNotBefore
        else { return nil }
        let prologue = network.rekeyPrologue
        var handshake = NoiseHandshake(
            responder: .nnPSK0, prologue: prologue.rawSpan, psk: current.takeRekeySecret())
        guard (try? handshake.readFirst(body.extracting(4..<body.byteCount))) != nil,
            let result = try? handshake.writeSecond(RawSpan())
        else { return nil }
        rekeyNotBefore = now + timing.rekeyAfter / 4
        var answer = ByteWriter(capacity: Self.rekeyMessageSize)
        answer.u32(localIndex)
        answer.raw(result.bytes)
        let split = result.takeKeys()
        let keys = SendingKeys(split, isInitiator: false, suite: suite, remoteIndex: body.receiverIndex, now: now)
        let line = keys.line
        next = consume keys
        return RekeyAnswer(
            answer.bytes, line,
            ReceivingKeys(split, isInitiator: false, suite: suite, localIndex: localIndex, now: now))
    }

    // MARK: Time

    /// Wipes keys past their lifetime; true if the current ones are among them and the link must close.
    ///
    /// ``LinkReceiver/expire(now:)`` does the same to the receiving ones, which are as old.
    public mutating func expire(now: Instant) -> Bool {
        if let keys = next.take(), !keys.isOver(timing.keyLifetime, now) { next = consume keys }
        return current.isOver(timing.keyLifetime, now)
    }

    /// Local indices of rekeys that failed; each is returned once.
    public mutating func takeRetired() -> [UInt32] {
        guard !retired.isEmpty else { return [] }
        let result = retired
        retired = []
        return result
    }

    /// The local indices of a rekey under way and of those that failed, to be released with the link.
    public func localIndices() -> [UInt32] {
        if let pendingIndex { retired + [pendingIndex] } else { retired }
    }
}

extension SplitKeys {
    /// Where the control counters of one side's packets start.
    borrowing func controlStart(ofInitiator: Bool) -> UInt64 {
        (ofInitiator ? initiator.deriveNumber("control start") : responder.deriveNumber("control start")) >> 17
    }
}
