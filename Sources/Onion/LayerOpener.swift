public import OnionCrypto
public import Wire

/// The result of opening a layer.
public enum LayerOpening: Equatable, Sendable {
    /// It verified and is decrypted; the number is relative to the direction's start and must be committed.
    case opened(UInt64)
    /// It did not verify; the covered bytes may be wiped.
    case dropped(DropReason)
}

/// Opens one hop's layer in one direction: keys, ratchet and replay window (protocol.md, section 5).
///
/// `open` moves the ratchet after a packet has verified. Only `commit` moves the replay window, so that the caller can
/// make further checks in between.
public struct LayerOpener: ~Copyable {
    /// The AEAD of the layer.
    public let suite: Suite
    private var secret: Secret
    @usableFromInline var key: AEADKey
    @usableFromInline let start: UInt64
    @usableFromInline var epoch: UInt64 = 0
    /// The key of the previous epoch, while it is still valid.
    @usableFromInline var previous: AEADKey?
    private var previousEnds = Instant(nanoseconds: 0)
    @usableFromInline var window = ReplayWindow()

    /// An opener under `secret` from counter `start` (below 2^47), in epoch 0.
    public init(_ suite: Suite, _ secret: consuming Secret, start: UInt64) {
        precondition(start < 1 << 47, "the start of a counter is below 2^47")
        self.suite = suite
        key = AEADKey(suite, secret)
        self.secret = secret
        self.start = start
    }

    /// Opens everything after slot `slot` (1 to 4) in place.
    @inlinable @inline(__always)
    public mutating func open(_ packet: inout MutableRawSpan, slot: Int, now: Instant) -> LayerOpening {
        let counter = packet.hopCounter(slot)
        let sequence = counter & Ratchet.sequenceMask
        guard sequence >= start else { return .dropped(.beforeStart) }
        let number = sequence &- start
        guard window.check(number) else { return .dropped(.replayed) }
        guard counter >> Ratchet.epochShift == epoch, previous == nil else {
            return openSlowPath(&packet, slot, counter, number, now)
        }
        let isGood = key.open(&packet, from: Packet.layerOffset(slot), to: packet.byteCount, counter: counter)
        return isGood ? .opened(number) : .dropped(.badTag)
    }

    /// Opens a packet that may be sealed under a key other than the current one, and wipes the previous key after its
    /// time.
    @usableFromInline @inline(never)
    mutating func openSlowPath(
        _ packet: inout MutableRawSpan, _ slot: Int, _ counter: UInt64, _ number: UInt64, _ now: Instant
    ) -> LayerOpening {
        if previous != nil, now >= previousEnds { previous = nil }
        let packetEpoch = counter >> Ratchet.epochShift
        let from = Packet.layerOffset(slot)
        if packetEpoch == epoch {
            let isGood = key.open(&packet, from: from, to: packet.byteCount, counter: counter)
            return isGood ? .opened(number) : .dropped(.badTag)
        }
        if packetEpoch < epoch {
            guard packetEpoch + 1 == epoch, let isGood = openWithPrevious(&packet, from, counter) else {
                return .dropped(.wrongEpoch)
            }
            return isGood ? .opened(number) : .dropped(.badTag)
        }
        guard packetEpoch - epoch <= Ratchet.lookAhead else { return .dropped(.wrongEpoch) }
        return openAhead(&packet, from, counter, now) ? .opened(number) : .dropped(.badTag)
    }

    /// Commits the packet `number` after its last check.
    @inlinable @inline(__always)
    public mutating func commit(_ number: UInt64) {
        if !window.commitNext(number) { window.commit(number) }
    }

    /// Wipes the previous key after its time; for paths without packets.
    public mutating func forgetPrevious(_ now: Instant) {
        if previous != nil, now >= previousEnds { previous = nil }
    }

    /// The highest accepted number; 0 if there is none.
    var highest: UInt64 { window.highest }

    /// Whether the previous key is still held.
    var holdsPrevious: Bool { previous != nil }

    private func openWithPrevious(
        _ packet: inout MutableRawSpan, _ from: Int, _ counter: UInt64
    ) -> Bool? {
        switch previous {
        case .some(let key): key.open(&packet, from: from, to: packet.byteCount, counter: counter)
        case .none: nil
        }
    }

    /// Tries the key of a later epoch, and switches to it if the packet verifies.
    private mutating func openAhead(
        _ packet: inout MutableRawSpan, _ from: Int, _ counter: UInt64, _ now: Instant
    ) -> Bool {
        let packetEpoch = counter >> Ratchet.epochShift
        var before = secret.clone()
        var step = epoch + 1
        while step < packetEpoch {
            before = before.derive("ratchet")
            step += 1
        }
        let laterSecret = before.derive("ratchet")
        let laterKey = AEADKey(suite, laterSecret)
        guard laterKey.open(&packet, from: from, to: packet.byteCount, counter: counter) else {
            return false
        }
        previous = AEADKey(suite, before)
        previousEnds = now + Ratchet.grace
        secret = laterSecret
        key = laterKey
        epoch = packetEpoch
        return true
    }
}
