public import OnionCrypto
public import Wire

/// When a layer's key is replaced, and how many epochs its opener looks ahead (protocol.md, section 5, "Ratchet").
public enum Ratchet {
    /// How many packets a key seals at most.
    @inlinable public static var packetsPerEpoch: UInt32 { 1 << 18 }
    /// How long an epoch lasts: the first packet after that is sealed in the next one.
    @inlinable public static var epochDuration: TimeSpan { .seconds(60) }
    /// How long an opener keeps the previous key.
    @inlinable public static var grace: TimeSpan { .seconds(5) }
    /// How many epochs an opener looks ahead.
    @inlinable public static var lookAhead: UInt64 { 32 }
    /// The bit of a counter at which the epoch begins.
    @inlinable static var epochShift: UInt64 { 48 }
    /// The part of a counter that continues across epochs.
    @inlinable static var sequenceMask: UInt64 { 1 << 48 - 1 }
    @inlinable static var lastEpoch: UInt64 { 0xffff }
}

/// Seals one hop's layer in one direction: the key, its counter and its ratchet (protocol.md, section 5).
public struct LayerSealer: ~Copyable {
    /// The AEAD of the layer.
    public let suite: Suite
    private var secret: Secret
    @usableFromInline var key: AEADKey
    @usableFromInline let start: UInt64
    @usableFromInline var next: UInt64
    @usableFromInline var epoch: UInt64 = 0
    @usableFromInline var sealedInEpoch: UInt32 = 0
    @usableFromInline var enteredEpoch: Instant

    /// A sealer under `secret` from counter `start` (below 2^47), in epoch 0 since `now`.
    public init(_ suite: Suite, _ secret: consuming Secret, start: UInt64, now: Instant) {
        precondition(start < 1 << 47, "the start of a counter is below 2^47")
        self.suite = suite
        key = AEADKey(suite, secret)
        self.secret = secret
        self.start = start
        next = start
        enteredEpoch = now
    }

    /// The number of the next packet, relative to the start.
    public var nextNumber: UInt64 { next - start }

    /// Skips a number, whose packet is never sent.
    public mutating func skipNumber() { if next < Ratchet.sequenceMask { next += 1 } }

    /// Seals everything after slot `slot` (1 to 4) in place and writes counter and tag to the slot.
    ///
    /// - Returns: the packet's number, or nil if the counters are used up; the packet is then unchanged.
    @inlinable @inline(__always)
    public mutating func seal(_ packet: inout MutableRawSpan, slot: Int, now: Instant) -> UInt64? {
        if sealedInEpoch >= Ratchet.packetsPerEpoch || now - enteredEpoch >= Ratchet.epochDuration {
            guard epoch < Ratchet.lastEpoch else { return nil }
            enterNextEpoch(now)
        }
        guard next < Ratchet.sequenceMask else { return nil }
        let counter = epoch << Ratchet.epochShift | next
        packet.setHopCounter(slot, counter)
        key.seal(&packet, from: Packet.layerOffset(slot), to: packet.byteCount, counter: counter)
        let number = next &- start
        next &+= 1
        sealedInEpoch &+= 1
        return number
    }

    @usableFromInline @inline(never)
    mutating func enterNextEpoch(_ now: Instant) {
        secret = secret.derive("ratchet")
        key = AEADKey(suite, secret)
        epoch += 1
        sealedInEpoch = 0
        enteredEpoch = now
    }
}
