public import OnionCrypto
public import Synchronization
public import Wire

/// One thread's means to send on a link: the expanded key of a ``LinkSendKey``, and access to its counter.
///
/// One thread uses it, because sealing a packet changes memory of the expanded key. The expanded key is wiped with the
/// value.
@safe public struct LinkSender: ~Copyable {
    /// The key that was expanded.
    ///
    /// A sole sender reads nothing of this object for a packet.
    public let sendKey: LinkSendKey
    @usableFromInline let key: AEADKey
    /// A sole sender's counter, which lives as long as ``sendKey``; ``LinkSendKey/alwaysOver`` for any other.
    @usableFromInline let ownCounter: UnsafeMutablePointer<Atomic<UInt64>>
    @usableFromInline let remoteIndex: UInt32

    /// Expands `sendKey`.
    ///
    /// With `sole`, for a node with one worker, taking a counter needs no locked instruction. Traps if `sendKey` has
    /// another sender and one of the two is sole.
    public init(_ sendKey: LinkSendKey, sole: Bool) {
        sendKey.admit(sole: sole)
        key = AEADKey(sendKey.suite, sendKey.secret)
        unsafe ownCounter = sole ? sendKey.counter : LinkSendKey.alwaysOver
        remoteIndex = sendKey.remoteIndex
        self.sendKey = sendKey
    }

    /// Takes the link counters of `count` packets, at least 1; no other packet under the key gets them.
    ///
    /// Returns the first, or nil if the key is over; then nothing may be sealed. A counter that is not used leaves a
    /// gap, which the peer's replay window allows.
    @inlinable @inline(__always)
    public func takeCounters(_ count: Int) -> UInt64? {
        assert(count > 0, "a run has a packet at least, or a counter would repeat")
        // Nobody else writes a sole sender's counter, so a load and a store suffice. The branch below finds both that
        // the key is over and, through `alwaysOver`, that the sender is not sole.
        let first = unsafe ownCounter.pointee.load(ordering: .relaxed)
        let end = first &+ UInt64(truncatingIfNeeded: count)
        guard end < LinkSendKey.over else { return sendKey.takeShared(count) }
        unsafe ownCounter.pointee.store(end, ordering: .relaxed)
        return first
    }

    /// Seals the header in place: writes receiver index, counter and tag; path id and slots must be written before.
    ///
    /// `counter` must come from ``takeCounters(_:)``, and each may be used once. Traps if `packet` is shorter than a
    /// header.
    @inlinable @inline(__always)
    public func sealHeader(_ packet: inout MutableRawSpan, counter: UInt64) {
        precondition(packet.byteCount >= Packet.payloadOffset, "a packet has a header")
        packet.receiverIndex = remoteIndex
        packet.linkCounter = counter
        key.seal(&packet, from: Packet.sealedHeaderOffset, to: Packet.payloadOffset, counter: counter)
    }

    /// Seals the header under the next counter.
    ///
    /// Returns false if the key is over: the packet is unchanged and must not be sent.
    @inlinable @inline(__always)
    public func sealHeader(_ packet: inout MutableRawSpan) -> Bool {
        guard let counter = takeCounters(1) else { return false }
        sealHeader(&packet, counter: counter)
        return true
    }
}
