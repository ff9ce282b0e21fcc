public import OnionCrypto
public import Wire

/// One generation of a link's keys: header and control, each for both directions (protocol.md, sections 3.5 and 4).
///
/// Everything works on a whole packet in place. The keys are wiped when the value ends.
public struct LinkKeys: ~Copyable {
    /// The receiver index that this end chose, found in incoming packets.
    public let localIndex: UInt32
    /// The receiver index that the peer chose, written to outgoing packets.
    public let remoteIndex: UInt32
    /// When the handshake that made them finished.
    public let createdAt: Instant
    let suite: Suite
    @usableFromInline let sendHeader: AEADKey
    @usableFromInline let receiveHeader: AEADKey
    private let sendControl: AEADKey
    private let receiveControl: AEADKey
    private let rekeySecret: Secret
    @usableFromInline var window = ReplayWindow()
    /// The link counter of the next packet: the number of packets that these keys have sealed.
    public var sealedCount: UInt64 { nextCounter }
    @usableFromInline var nextCounter: UInt64 = 0
    /// Whether a packet of the peer under these keys has been committed.
    public internal(set) var isConfirmed = false

    init(
        _ split: borrowing SplitKeys, isInitiator: Bool, suite: Suite, localIndex: UInt32, remoteIndex: UInt32,
        now: Instant
    ) {
        self.suite = suite
        self.localIndex = localIndex
        self.remoteIndex = remoteIndex
        createdAt = now
        rekeySecret = split.initiator.derive("rekey", mixing: split.responder)
        let initiatorHeader = AEADKey(suite, split.initiator.derive("header"))
        let initiatorControl = AEADKey(suite, split.initiator.derive("control"))
        let responderHeader = AEADKey(suite, split.responder.derive("header"))
        let responderControl = AEADKey(suite, split.responder.derive("control"))
        if isInitiator {
            sendHeader = initiatorHeader
            sendControl = initiatorControl
            receiveHeader = responderHeader
            receiveControl = responderControl
        } else {
            sendHeader = responderHeader
            sendControl = responderControl
            receiveHeader = initiatorHeader
            receiveControl = initiatorControl
        }
    }

    /// The pre-shared key of the rekey that follows these keys.
    borrowing func takeRekeySecret() -> Secret { rekeySecret.clone() }

    // MARK: Packets

    /// Takes the link counters of `count` packets, which no other packet under these keys gets; returns the first.
    @inlinable @inline(__always)
    public mutating func takeCounters(_ count: Int) -> UInt64 {
        let first = nextCounter
        nextCounter = first &+ UInt64(truncatingIfNeeded: count)
        return first
    }

    /// Seals the header in place: writes receiver index, counter and tag; path id and slots must be written before.
    ///
    /// The counter must be one of ``takeCounters(_:)`` that no packet has had.
    @inlinable @inline(__always)
    public mutating func sealHeader(_ packet: inout MutableRawSpan, counter: UInt64) {
        precondition(packet.byteCount >= Packet.payloadOffset, "a packet has a header")
        packet.receiverIndex = remoteIndex
        packet.linkCounter = counter
        sendHeader.seal(&packet, from: Packet.sealedHeaderOffset, to: Packet.payloadOffset, counter: counter)
    }

    /// Opens the header in place if its counter is new and its tag right; commits nothing.
    ///
    /// Returns the reason if it fails; the sealed header is then wiped or unchanged.
    ///
    /// The method is mutating although nothing changes: to borrow keys out of a larger value, the compiler would copy
    /// them.
    @inlinable @inline(__always)
    public mutating func openHeader(_ packet: inout MutableRawSpan) -> LinkDropReason? {
        let counter = packet.linkCounter
        guard window.check(counter) else { return .replayedPacket }
        let isGood = receiveHeader.open(
            &packet, from: Packet.sealedHeaderOffset, to: Packet.payloadOffset, counter: counter)
        return isGood ? nil : .badHeader
    }

    /// Commits the packet with link counter `counter` after its last check; false if another with it was first.
    public mutating func commit(_ counter: UInt64) -> Bool {
        guard window.commit(counter) else { return false }
        isConfirmed = true
        return true
    }

    /// Seals a control packet's payload in place and writes S4, zeroes the other slots and the path id.
    func sealControl(_ packet: inout MutableRawSpan, counter: UInt64) {
        packet.pathID = 0
        packet.zeroSlots(1...3)
        packet.setHopCounter(4, counter)
        sendControl.seal(&packet, from: Packet.payloadOffset, to: packet.byteCount, counter: counter)
    }

    /// Opens a control packet's payload in place; if its tag is wrong, wipes it and returns false.
    func openControl(_ packet: inout MutableRawSpan, counter: UInt64) -> Bool {
        receiveControl.open(&packet, from: Packet.payloadOffset, to: packet.byteCount, counter: counter)
    }
}
