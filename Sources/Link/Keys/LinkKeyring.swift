internal import OnionCrypto
public import Wire

/// All keys of a link: the current generation, the previous one, and the one that waits for its first packet
/// (protocol.md, sections 3.5, 3.7 and 4).
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

    /// The effect of committing a packet.
    public enum Commit: Equatable, Sendable {
        /// Another packet with this counter was committed first: this one must be dropped.
        case duplicate
        /// Only the window has changed.
        case committed
        /// The peer has begun to use new keys, and this end now uses them too.
        case switched
        /// The link's first packet: it is no longer half-open.
        case confirmed
    }

    /// Whether this end began the link; it then also begins rekeys.
    public let isInitiator: Bool
    private let network: LinkNetwork
    /// The times of keys; set it right after the handshake if at all.
    public var timing = Timing()
    private let suite: Suite
    @usableFromInline var current: LinkKeys
    /// Seals under the current keys; this thread is the only one that sends.
    @usableFromInline var sender: LinkSender
    private var previous: LinkKeys?
    /// When the previous keys end; nil until a packet under the current ones has come.
    private var previousEndsAt: Instant?
    private var next: LinkKeys?
    /// The sending side of `next`.
    private var nextLine: LinkLine?
    /// A rekey that waits for its answer, and the local index of its keys.
    private var pending: NoiseHandshake?
    private var pendingIndex: UInt32?
    private var rekeyNotBefore: Instant
    /// Local indices that have no keys any more and were not returned by `takeRetired` yet.
    private var retired: [UInt32] = []
    private var isLinkConfirmed = false
    private var sendControlNext: UInt64
    private let sendControlStart: UInt64
    private let receiveControlStart: UInt64
    /// Counters of control packets, relative to the start.
    private var controlWindow = ReplayWindow()

    init(
        _ split: consuming SplitKeys, network: LinkNetwork, isInitiator: Bool, suite: Suite, localIndex: UInt32,
        remoteIndex: UInt32, now: Instant
    ) {
        self.network = network
        self.isInitiator = isInitiator
        self.suite = suite
        let initiatorStart = split.initiator.deriveNumber("control start") >> 17
        let responderStart = split.responder.deriveNumber("control start") >> 17
        sendControlStart = isInitiator ? initiatorStart : responderStart
        receiveControlStart = isInitiator ? responderStart : initiatorStart
        sendControlNext = sendControlStart
        sender = LinkSender(
            LinkLine(split, isInitiator: isInitiator, suite: suite, remoteIndex: remoteIndex), sole: true)
        current = LinkKeys(split, isInitiator: isInitiator, suite: suite, localIndex: localIndex, now: now)
        rekeyNotBefore = now
        previous = nil
        next = nil
        pending = nil
    }

    // MARK: Packets

    /// The local index of the current keys.
    public var localIndex: UInt32 { current.localIndex }

    /// The sending side of the current keys.
    public var line: LinkLine { sender.line }

    /// Opens the header of a packet in place with the keys that its receiver index names; commits nothing.
    ///
    /// Returns why it was dropped, or nil.
    @inlinable @inline(__always)
    public mutating func openHeader(_ packet: inout MutableRawSpan) -> LinkDropReason? {
        let index = packet.receiverIndex
        return index == current.localIndex ? current.openHeader(&packet) : openOtherHeader(&packet, index)
    }

    /// The same with keys other than the current ones.
    ///
    /// A separate function because access to these optionals costs a copy, and almost no packet needs it.
    @usableFromInline @inline(never)
    mutating func openOtherHeader(_ packet: inout MutableRawSpan, _ index: UInt32) -> LinkDropReason? {
        if let reason = next?.openHeader(&packet, ifFor: index) { return reason.asDrop }
        if let reason = previous?.openHeader(&packet, ifFor: index) { return reason.asDrop }
        return .unknownIndex
    }

    /// Does what `commit` does for almost all packets, the next one under the current keys.
    ///
    /// For any other packet it changes nothing and returns false.
    @inlinable @inline(__always)
    public mutating func commitNext(index: UInt32, counter: UInt64) -> Bool {
        index == current.localIndex && current.isConfirmed && current.window.commitNext(counter)
    }

    /// Commits a packet that `openHeader` accepted and that has passed its last check.
    ///
    /// `index` and `counter` are the packet's receiver index and link counter as received. The first packet under new
    /// keys makes them the current ones.
    public mutating func commit(index: UInt32, counter: UInt64, now: Instant) -> Commit {
        if index == current.localIndex {
            let isFirst = !current.isConfirmed
            guard current.commit(counter) else { return .duplicate }
            guard isFirst else { return .committed }
            if previous != nil, previousEndsAt == nil { previousEndsAt = now + timing.overlap }
            if isLinkConfirmed { return .committed }
            isLinkConfirmed = true
            return .confirmed
        }
        if let isNew = next?.commit(counter, ifFor: index) {
            guard isNew else { return .duplicate }
            switchToNext(now: now)
            return .switched
        }
        if let isNew = previous?.commit(counter, ifFor: index) { return isNew ? .committed : .duplicate }
        return .duplicate
    }

    private mutating func switchToNext(now: Instant) {
        guard let keys = next.take(), let line = nextLine.take() else { return }
        retireCurrent(for: keys, line)
        previousEndsAt = now + timing.overlap
    }

    /// Makes `keys` the current ones and keeps the old ones for packets under way.
    ///
    /// The old line seals nothing more, and is wiped.
    private mutating func retireCurrent(for keys: consuming LinkKeys, _ line: LinkLine) {
        if let index = Self.index(of: previous) { retired.append(index) }
        var keys: LinkKeys = keys
        swap(&current, &keys)
        previous = consume keys
        previousEndsAt = nil
        sender.line.retire()
        sender = LinkSender(line, sole: true)
    }

    /// Seals the header in place under the current keys; path id and slots must be written before.
    ///
    /// False, with the packet as it was, when the keys' counters are used up.
    @inlinable @inline(__always) @discardableResult
    public mutating func sealHeader(_ packet: inout MutableRawSpan) -> Bool { sender.sealHeader(&packet) }

    /// Takes the link counters of `count` packets that are sealed together; returns the first, or nil where they are used up.
    ///
    /// They belong to the current keys: the packets must be sealed before anything else happens to the keyring. A counter
    /// that is not used leaves a gap, which the peer's window allows.
    @inlinable @inline(__always)
    public mutating func takeCounters(_ count: Int) -> UInt64? { sender.takeCounters(count) }

    /// Seals a header like ``sealHeader(_:)``, under a counter of ``takeCounters(_:)`` that no packet has had.
    @inlinable @inline(__always)
    public mutating func sealHeader(_ packet: inout MutableRawSpan, counter: UInt64) {
        sender.sealHeader(&packet, counter: counter)
    }

    // MARK: Control packets

    /// The packet number that the next control packet will have.
    public var nextControlNumber: UInt64 { sendControlNext - sendControlStart }

    /// Skips `count` packet numbers, so that acknowledgements of packets never sent can be detected.
    public mutating func skipControlNumbers(_ count: UInt64) { sendControlNext &+= count }

    /// Seals in place a control packet whose payload is written: slots, path id, header.
    ///
    /// False, and the packet must not be sent, when the keys' counters are used up.
    @discardableResult
    public mutating func sealControl(_ packet: inout MutableRawSpan) -> Bool {
        let counter = sendControlNext
        sendControlNext = counter &+ 1
        current.sealControl(&packet, counter: counter)
        return sealHeader(&packet)
    }

    /// The result of opening a control packet.
    public enum ControlOpening: Equatable, Sendable {
        /// The payload is decrypted; the packet number is the control connection's.
        case opened(packetNumber: UInt64)
        /// The packet is dropped; its payload may have been wiped.
        case drop(LinkDropReason)
    }

    /// Opens the payload of a packet with path id 0 whose header `openHeader` has opened; commits nothing.
    public mutating func openControl(_ packet: inout MutableRawSpan) -> ControlOpening {
        let counter = packet.hopCounter(4)
        // The start is below 2^47, so a counter far above it is a forgery even with a right tag.
        guard counter >= receiveControlStart, counter - receiveControlStart < 1 << 62,
            controlWindow.check(counter - receiveControlStart)
        else { return .drop(.replayedControl) }
        let index = packet.receiverIndex
        let isGood: Bool
        if index == current.localIndex {
            isGood = current.openControl(&packet, counter: counter)
        } else if let result = next?.openControl(&packet, counter: counter, ifFor: index) {
            isGood = result
        } else if let result = previous?.openControl(&packet, counter: counter, ifFor: index) {
            isGood = result
        } else {
            return .drop(.unknownIndex)
        }
        return isGood ? .opened(packetNumber: counter - receiveControlStart) : .drop(.badControl)
    }

    /// Commits an opened control packet; call it before `commit`.
    ///
    /// Returns false if another with its number was first.
    public mutating func commitControl(packetNumber: UInt64) -> Bool {
        controlWindow.commit(packetNumber)
    }

    // MARK: Rekey

    /// The length of the body of REKEY and of its answer.
    public static let rekeyMessageSize = 52

    /// Whether it is time to call `startRekey`.
    public func wantsRekey(now: Instant) -> Bool {
        guard isInitiator, isLinkConfirmed, pendingIndex == nil, now >= rekeyNotBefore else { return false }
        return now - current.createdAt >= timing.rekeyAfter || sender.line.taken >= timing.rekeyAfterPackets
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

    /// Processes the answer to REKEY; true if new keys are in use, and then a packet should be sent soon.
    public mutating func finishRekey(_ answer: RawSpan, now: Instant) -> Bool {
        guard let rekey = pending.take(), let localIndex = pendingIndex else { return false }
        pendingIndex = nil
        guard answer.byteCount == Self.rekeyMessageSize, answer.receiverIndex >= Packet.firstReceiverIndex,
            let result = try? rekey.readSecond(answer.extracting(4..<answer.byteCount))
        else {
            retired.append(localIndex)
            rekeyNotBefore = now + timing.rekeyRetry
            return false
        }
        let split = result.takeKeys()
        retireCurrent(
            for: LinkKeys(split, isInitiator: true, suite: suite, localIndex: localIndex, now: now),
            LinkLine(split, isInitiator: true, suite: suite, remoteIndex: answer.receiverIndex))
        return true
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
    public mutating func answerRekey(_ body: RawSpan, localIndex: UInt32, now: Instant) -> [UInt8]? {
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
        if let index = Self.index(of: next) { retired.append(index) }
        var answer = ByteWriter(capacity: Self.rekeyMessageSize)
        answer.u32(localIndex)
        answer.raw(result.bytes)
        let split = result.takeKeys()
        next = LinkKeys(split, isInitiator: false, suite: suite, localIndex: localIndex, now: now)
        nextLine = LinkLine(split, isInitiator: false, suite: suite, remoteIndex: body.receiverIndex)
        return answer.bytes
    }

    // MARK: Time

    /// Wipes keys past their lifetime; true if the current ones are among them and the link must close.
    public mutating func expire(now: Instant) -> Bool {
        if let keys = previous.take() {
            if keys.isOver(timing.keyLifetime, now) || previousEndsAt.map({ now >= $0 }) ?? false {
                retired.append(keys.localIndex)
                previousEndsAt = nil
            } else {
                previous = consume keys
            }
        }
        if let keys = next.take() {
            if keys.isOver(timing.keyLifetime, now) {
                retired.append(keys.localIndex)
                nextLine = nil
            } else {
                next = consume keys
            }
        }
        return current.isOver(timing.keyLifetime, now)
    }

    /// Local indices that no key uses any more; each is returned once.
    public mutating func takeRetired() -> [UInt32] {
        guard !retired.isEmpty else { return [] }
        let result = retired
        retired = []
        return result
    }

    /// All local indices of keys and of a rekey under way, to be released with the link.
    public func localIndices() -> [UInt32] {
        var result = [current.localIndex] + retired
        if let index = Self.index(of: previous) { result.append(index) }
        if let index = Self.index(of: next) { result.append(index) }
        if let pendingIndex { result.append(pendingIndex) }
        return result
    }

    private static func index(of keys: borrowing LinkKeys?) -> UInt32? {
        switch keys {
        case .some(let keys): keys.localIndex
        case .none: nil
        }
    }
}

extension LinkKeys {
    /// The result of `openHeader` for the keys of the packet's index.
    struct Opening {
        let asDrop: LinkDropReason?
    }

    /// Opens the header if `index` is that of these keys; nil otherwise.
    mutating func openHeader(_ packet: inout MutableRawSpan, ifFor index: UInt32) -> Opening? {
        index == localIndex ? Opening(asDrop: openHeader(&packet)) : nil
    }

    /// Commits if `index` is that of these keys; nil otherwise.
    mutating func commit(_ counter: UInt64, ifFor index: UInt32) -> Bool? {
        index == localIndex ? commit(counter) : nil
    }

    /// Opens a control payload if `index` is that of these keys; nil otherwise.
    borrowing func openControl(_ packet: inout MutableRawSpan, counter: UInt64, ifFor index: UInt32) -> Bool? {
        index == localIndex ? openControl(&packet, counter: counter) : nil
    }

    /// Whether the keys are past their lifetime.
    borrowing func isOver(_ lifetime: TimeSpan, _ now: Instant) -> Bool { now - createdAt >= lifetime }
}
