public import OnionCrypto
public import Wire

/// What became of a layer that was to be opened.
public enum LayerOpening: Equatable, Sendable {
    /// It verified and is decrypted; the number is relative to the direction's start. To be committed.
    case opened(UInt64)
    /// It did not; what it covered may be wiped.
    case dropped(DropReason)
}

/// Opens one hop's layer in one direction: keys, ratchet and replay window (protocol.md, section 5).
///
/// `open` moves the ratchet once a packet has verified, but the replay window moves with `commit` only, so that the caller
/// can make further checks in between.
public struct LayerOpener: ~Copyable {
    /// The AEAD of the layer.
    public let suite: Suite
    private var secret: Secret
    @usableFromInline var key: AEADKey
    @usableFromInline let start: UInt64
    @usableFromInline var epoch: UInt64 = 0
    /// The key of the epoch before, while it is still good.
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

    /// Opens everything behind slot `slot` (1 to 4) in place.
    @inlinable @inline(__always)
    public mutating func open(_ packet: inout MutableRawSpan, slot: Int, now: Instant) -> LayerOpening {
        let counter = packet.hopCounter(slot)
        let sequence = counter & Ratchet.sequenceMask
        guard sequence >= start else { return .dropped(.beforeStart) }
        let number = sequence &- start
        guard window.check(number) else { return .dropped(.replayed) }
        guard counter >> Ratchet.epochShift == epoch, previous == nil else {
            return openBesides(&packet, slot, counter, number, now)
        }
        let isGood = key.open(&packet, from: Packet.layerOffset(slot), to: packet.byteCount, counter: counter)
        return isGood ? .opened(number) : .dropped(.badTag)
    }

    /// Opens what may be sealed under another key than the present one, and forgets the one before when its time is over.
    @usableFromInline @inline(never)
    mutating func openBesides(
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

    /// Notes that the packet `number` has passed its last check.
    @inlinable @inline(__always)
    public mutating func commit(_ number: UInt64) {
        if !window.commitNext(number) { window.commit(number) }
    }

    /// Wipes the key before the current one if its time is over, for paths on which nothing comes.
    public mutating func forgetPrevious(_ now: Instant) {
        if previous != nil, now >= previousEnds { previous = nil }
    }

    /// The highest number that was accepted; 0 when there is none.
    var highest: UInt64 { window.highest }

    /// Whether the key before the current one is still held.
    var holdsPrevious: Bool { previous != nil }

    private func openWithPrevious(
        _ packet: inout MutableRawSpan, _ from: Int, _ counter: UInt64
    ) -> Bool? {
        switch previous {
        case .some(let key): key.open(&packet, from: from, to: packet.byteCount, counter: counter)
        case .none: nil
        }
    }

    /// Tries the key of a later epoch, and moves there if the packet verifies.
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
