public import OnionCrypto
public import Wire

/// One generation of a link's receiving keys (protocol.md, sections 3.5 and 4): header and control key, and the window
/// of the packets under them.
///
/// Everything works on a whole packet in place. The keys are wiped when the value ends.
public struct ReceivingKeys: ~Copyable {
    /// The receiver index that this end chose, found in incoming packets.
    public let localIndex: UInt32
    /// When the handshake that made them finished.
    public let createdAt: Instant
    @usableFromInline let header: AEADKey
    private let control: AEADKey
    @usableFromInline var window = ReplayWindow()
    /// Whether a packet of the peer under these keys has been committed.
    @usableFromInline var isConfirmed = false

    init(_ split: borrowing SplitKeys, isInitiator: Bool, suite: Suite, localIndex: UInt32, now: Instant) {
        self.localIndex = localIndex
        createdAt = now
        if isInitiator {
            header = AEADKey(suite, split.responder.derive("header"))
            control = AEADKey(suite, split.responder.derive("control"))
        } else {
            header = AEADKey(suite, split.initiator.derive("header"))
            control = AEADKey(suite, split.initiator.derive("control"))
        }
    }

    /// Opens the header in place if its counter is new and its tag right; commits nothing.
    ///
    /// Returns the reason for the drop, or nil. In a dropped packet the sealed header is wiped or unchanged.
    ///
    /// The method is mutating although nothing changes: to borrow keys out of a larger value, the compiler would copy
    /// them.
    @inlinable @inline(__always)
    mutating func openHeader(_ packet: inout MutableRawSpan) -> LinkDropReason? {
        let counter = packet.linkCounter
        guard window.check(counter) else { return .replayedPacket }
        let isGood = header.open(&packet, from: Packet.sealedHeaderOffset, to: Packet.payloadOffset, counter: counter)
        return isGood ? nil : .badHeader
    }

    /// Commits the packet with link counter `counter` after its last check; false if another with it was first.
    mutating func commit(_ counter: UInt64) -> Bool {
        guard window.commit(counter) else { return false }
        isConfirmed = true
        return true
    }

    /// Opens a control packet's payload in place; if its tag is wrong, wipes it and returns false.
    borrowing func openControl(_ packet: inout MutableRawSpan, counter: UInt64) -> Bool {
        control.open(&packet, from: Packet.payloadOffset, to: packet.byteCount, counter: counter)
    }

    // MARK: Keys that a packet may be for

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
