public import Link
public import Wire

/// One end of a link as a node with one worker has it: keyring, receiving side and sending side, each told of the others.
public struct LinkEnd: ~Copyable {
    /// The generations of keys.
    public var keyring: LinkKeyring
    /// The receiving side.
    public var receiver: LinkReceiver
    /// The sending side.
    public var sender: LinkSender
    /// The send key that the sending side has once the peer uses the keys that wait.
    public private(set) var waiting: LinkSendKey?

    /// The end of a link whose handshake is done.
    public init(_ link: consuming NewLink) {
        receiver = link.takeReceiver()
        keyring = link.takeKeyring()
        sender = LinkSender(keyring.sendKey, sole: true)
    }

    /// The end of these parts, which belong together.
    public init(_ keyring: consuming LinkKeyring, _ receiver: consuming LinkReceiver) {
        sender = LinkSender(keyring.sendKey, sole: true)
        self.keyring = keyring
        self.receiver = receiver
    }

    /// The times of keys, of keyring and receiving side.
    public var timing: LinkKeyring.Timing {
        get { keyring.timing }
        set {
            keyring.timing = newValue
            receiver.timing = newValue
        }
    }

    /// The send key that the sending side has.
    public var sendKey: LinkSendKey { sender.sendKey }

    /// Whether this end began the link.
    public var isInitiator: Bool { keyring.isInitiator }

    // MARK: Packets

    /// As ``LinkReceiver`` does.
    public mutating func openHeader(_ packet: inout MutableRawSpan) -> LinkDropReason? { receiver.openHeader(&packet) }

    /// As ``LinkReceiver`` does.
    public mutating func openControl(_ packet: inout MutableRawSpan) -> LinkReceiver.ControlOpening {
        receiver.openControl(&packet)
    }

    /// As ``LinkReceiver`` does.
    public mutating func commitControl(packetNumber: UInt64) -> Bool {
        receiver.commitControl(packetNumber: packetNumber)
    }

    /// Commits a packet, and tells the other parts what it changes.
    public mutating func commit(index: UInt32, counter: UInt64, now: Instant) -> LinkReceiver.Commit {
        let result = receiver.commit(index: index, counter: counter, now: now)
        switch result {
        case .duplicate, .committed: break
        case .confirmed: keyring.confirmed()
        case .switched:
            keyring.switched()
            sender = LinkSender(keyring.sendKey, sole: true)
            waiting = nil
            keyring.retireReplaced()
        }
        return result
    }

    /// As ``LinkSender`` does.
    public func takeCounters(_ count: Int) -> UInt64? { sender.takeCounters(count) }

    /// As ``LinkSender`` does.
    public func sealHeader(_ packet: inout MutableRawSpan) -> Bool { sender.sealHeader(&packet) }

    /// As ``LinkSender`` does.
    public func sealHeader(_ packet: inout MutableRawSpan, counter: UInt64) {
        sender.sealHeader(&packet, counter: counter)
    }

    /// As ``LinkKeyring`` does.
    public var nextControlNumber: UInt64 { keyring.nextControlNumber }

    /// As ``LinkKeyring`` does.
    public mutating func skipControlNumbers(_ count: UInt64) { keyring.skipControlNumbers(count) }

    /// Seals payload and header; false where the counters are used up.
    public mutating func sealControl(_ packet: inout MutableRawSpan) -> Bool {
        keyring.sealControl(&packet, for: sender.sendKey)
        return sender.sealHeader(&packet)
    }

    // MARK: Rekey

    /// As ``LinkKeyring`` does.
    public func wantsRekey(now: Instant) -> Bool { keyring.wantsRekey(now: now) }

    /// As ``LinkKeyring`` does.
    public mutating func startRekey(localIndex: UInt32) -> [UInt8] { keyring.startRekey(localIndex: localIndex) }

    /// Goes over to new keys; false if the answer is not valid.
    public mutating func finishRekey(_ answer: RawSpan, now: Instant) -> Bool {
        guard let keys = keyring.finishRekey(answer, now: now) else { return false }
        receiver.renew(keys)
        sender = LinkSender(keyring.sendKey, sole: true)
        keyring.retireReplaced()
        return true
    }

    /// As ``LinkKeyring`` does.
    public mutating func rekeyFailed(now: Instant) { keyring.rekeyFailed(now: now) }

    /// The answer to REKEY, whose keys wait from now on; nil if it is not valid.
    public mutating func answerRekey(_ body: RawSpan, localIndex: UInt32, now: Instant) -> [UInt8]? {
        guard let answer = keyring.answerRekey(body, localIndex: localIndex, now: now) else { return nil }
        let message = answer.body
        waiting = answer.sendKey
        receiver.expect(answer.takeKeys())
        return message
    }

    /// Wipes all keys that are over; true if the link must close.
    public mutating func expire(now: Instant) -> Bool {
        receiver.expire(now: now)
        if !receiver.isWaiting { waiting = nil }
        return keyring.expire(now: now)
    }

    /// Local indices that nothing uses any more.
    public mutating func takeRetired() -> [UInt32] { receiver.takeRetired() + keyring.takeRetired() }

    /// All local indices.
    public func localIndices() -> [UInt32] { receiver.localIndices() + keyring.localIndices() }
}
