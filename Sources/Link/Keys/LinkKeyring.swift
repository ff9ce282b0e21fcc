internal import OnionCrypto
public import Wire

/// The generations of a link's keys: how they are made and when they end (protocol.md, sections 3.5, 3.7 and 4).
///
/// It belongs to worker 0, like the control connection. Incoming packets use a ``LinkReceiver`` and outgoing ones a
/// ``LinkSender`` of ``sendKey``; both get each new generation from here.
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
        /// The send key that all senders use once the peer uses the keys.
        public let sendKey: LinkSendKey
        private let keys: ReceivingKeys

        init(_ body: [UInt8], _ sendKey: LinkSendKey, _ keys: consuming ReceivingKeys) {
            self.body = body
            self.sendKey = sendKey
            self.keys = keys
        }

        /// The keys, for ``LinkReceiver/expect(_:)`` before the answer is sent.
        public consuming func takeKeys() -> ReceivingKeys { keys }
    }

    /// Whether this end began the link; it then also begins rekeys.
    public let isInitiator: Bool
    private let network: LinkNetwork
    /// When keys change and end; to be set only right after the handshake.
    public var timing = Timing()
    private let suite: Suite
    private var current: SendingKeys
    /// The keys that become current with the peer's first packet under them.
    private var next: SendingKeys?
    /// The keys before the current ones, until all senders have the new send key.
    private var replaced: SendingKeys?
    /// A rekey that waits for its answer, and the local index of its keys.
    private var pending: NoiseHandshake?
    private var pendingIndex: UInt32?
    private var rekeyNotBefore: Instant
    /// Local indices of rekeys that failed and that `takeRetired` has not returned yet.
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
        replaced = nil
        pending = nil
    }

    /// The sending side of the current keys.
    public var sendKey: LinkSendKey { current.sendKey }

    // MARK: Control packets

    /// The packet number that the next control packet will have.
    public var nextControlNumber: UInt64 { sendControlNext - sendControlStart }

    /// Skips `count` packet numbers, so that acknowledgements of packets never sent can be detected.
    public mutating func skipControlNumbers(_ count: UInt64) { sendControlNext &+= count }

    /// Seals the payload of a control packet in place and writes slots and path id; its header must be sealed next,
    /// under `sendKey`.
    ///
    /// `sendKey` may be that of the waiting keys: a sender can change to it before ``switched()`` is called. It may be
    /// that of the keys before the current ones, which a sender uses until it is told of the new send key.
    public mutating func sealControl(_ packet: inout MutableRawSpan, for sendKey: LinkSendKey) {
        let counter = sendControlNext
        sendControlNext = counter &+ 1
        if next?.sealControl(&packet, counter: counter, ifFor: sendKey) ?? false { return }
        if replaced?.sealControl(&packet, counter: counter, ifFor: sendKey) ?? false { return }
        current.sealControl(&packet, counter: counter)
    }

    // MARK: Events from the receiver

    /// The peer's first packet has come.
    public mutating func confirmed() { isConfirmed = true }

    /// The peer has begun to use the waiting keys: their send key becomes the current one for all senders.
    ///
    /// When all senders have it, call ``retireReplaced()``.
    public mutating func switched() {
        guard let keys = next.take() else { return }
        replace(with: keys)
    }

    private mutating func replace(with keys: consuming SendingKeys) {
        retireReplaced()
        var keys: SendingKeys = keys
        swap(&current, &keys)
        replaced = consume keys
    }

    /// Ends the send key that ``sendKey`` has replaced, and wipes its control key.
    ///
    /// Call it when all senders have the new one.
    public mutating func retireReplaced() {
        replaced?.sendKey.retire()
        replaced = nil
    }

    // MARK: Rekey

    /// The length of the body of REKEY and of its answer.
    public static let rekeyMessageSize = 52

    /// Whether it is time to call `startRekey`.
    public func wantsRekey(now: Instant) -> Bool {
        guard isInitiator, isConfirmed, pendingIndex == nil, now >= rekeyNotBefore else { return false }
        return now - current.createdAt >= timing.rekeyAfter || current.sendKey.taken >= timing.rekeyAfterPackets
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

    /// Processes the answer to REKEY; nil if it is not valid or none is expected.
    ///
    /// If it is valid, ``sendKey`` is new, and the returned keys are for ``LinkReceiver/renew(_:)``. When receiver and
    /// senders have them, call ``retireReplaced()``, and send a packet soon.
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
        let sendKey = keys.sendKey
        endWaiting()
        next = consume keys
        return RekeyAnswer(
            answer.bytes, sendKey,
            ReceivingKeys(split, isInitiator: false, suite: suite, localIndex: localIndex, now: now))
    }

    // MARK: Time

    /// Wipes waiting keys past their lifetime.
    ///
    /// Returns true if the link must close: the current keys are past theirs, or their send key is over and no new keys
    /// are on their way.
    ///
    /// ``LinkReceiver/expire(now:)`` does the same to the receiving keys, which are as old.
    public mutating func expire(now: Instant) -> Bool {
        if let isOld = next?.isOver(timing.keyLifetime, now), isOld { endWaiting() }
        return current.isOver(timing.keyLifetime, now) || current.sendKey.isOver && pendingIndex == nil && next == nil
    }

    /// Drops the keys that wait for the peer's first packet, and ends their send key, whoever holds it.
    private mutating func endWaiting() {
        next?.sendKey.retire()
        next = nil
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
