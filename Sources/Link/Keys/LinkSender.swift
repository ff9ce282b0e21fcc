public import OnionCrypto
public import Synchronization
public import Wire

/// What one thread needs to send on a link: the key of one ``LinkLine``, expanded, and the way to its counter.
///
/// It can neither be copied nor shared: an expanded key has memory that each packet changes. The key is wiped with the value.
@safe public struct LinkSender: ~Copyable {
    /// The line whose key this is; a sole sender does not touch it for a packet.
    public let line: LinkLine
    @usableFromInline let key: AEADKey
    /// The line's counter for a sole sender, which lives as long as the line; for another a word that is always over.
    @usableFromInline let ownCounter: UnsafeMutablePointer<Atomic<UInt64>>
    @usableFromInline let remoteIndex: UInt32

    /// Expands the key of `line`.
    ///
    /// `sole` is for a node with one worker, whose counters cost no locked instruction. That it is the only one is known because
    /// the line takes one sole sender or any number of others, and traps where it is told to take both.
    public init(_ line: LinkLine, sole: Bool) {
        line.admit(sole: sole)
        key = AEADKey(line.suite, line.secret)
        unsafe ownCounter = sole ? line.counter : LinkLine.alwaysOver
        remoteIndex = line.remoteIndex
        self.line = line
    }

    /// Takes the link counters of `count` packets (at least 1) that are sealed together, which no other packet under the key gets.
    ///
    /// Returns the first; nil when the line is over or its counters are used up, and then nothing may be sealed. A counter that is
    /// not used leaves a gap, which the peer's window allows.
    @inlinable @inline(__always)
    public func takeCounters(_ count: Int) -> UInt64? {
        assert(count > 0, "a run has a packet at least, or a counter would repeat")
        // Of a sole sender no other thread writes the word: a load and a store, which no lock joins. One branch tells it from all
        // others, and whether the line is over; those others touch their line's word by the addition alone.
        let first = unsafe ownCounter.pointee.load(ordering: .relaxed)
        let end = first &+ UInt64(truncatingIfNeeded: count)
        guard end < LinkLine.over else { return line.takeShared(count) }
        unsafe ownCounter.pointee.store(end, ordering: .relaxed)
        return first
    }

    /// Seals the header in place: writes receiver index, counter and tag; path id and slots must be written before.
    ///
    /// The counter must be one of ``takeCounters(_:)`` that no packet has had.
    @inlinable @inline(__always)
    public func sealHeader(_ packet: inout MutableRawSpan, counter: UInt64) {
        precondition(packet.byteCount >= Packet.payloadOffset, "a packet has a header")
        packet.receiverIndex = remoteIndex
        packet.linkCounter = counter
        key.seal(&packet, from: Packet.sealedHeaderOffset, to: Packet.payloadOffset, counter: counter)
    }

    /// The same under the next counter; false, with the packet as it was, when there is none: then it must not be sent.
    @inlinable @inline(__always)
    public func sealHeader(_ packet: inout MutableRawSpan) -> Bool {
        guard let counter = takeCounters(1) else { return false }
        sealHeader(&packet, counter: counter)
        return true
    }
}
