public import OnionCrypto
public import Wire

/// One generation of a link's keys (protocol.md, sections 3.5 and 4), without the one that seals headers, which is a
/// ``LinkLine``'s: for headers in, and for control packets in both directions.
///
/// Everything works on a whole packet in place. The keys are wiped when the value ends.
public struct LinkKeys: ~Copyable {
    /// The receiver index that this end chose, found in incoming packets.
    public let localIndex: UInt32
    /// When the handshake that made them finished.
    public let createdAt: Instant
    let suite: Suite
    @usableFromInline let receiveHeader: AEADKey
    private let sendControl: AEADKey
    private let receiveControl: AEADKey
    private let rekeySecret: Secret
    @usableFromInline var window = ReplayWindow()
    /// Whether a packet of the peer under these keys has been committed.
    public internal(set) var isConfirmed = false

    init(
        _ split: borrowing SplitKeys, isInitiator: Bool, suite: Suite, localIndex: UInt32, now: Instant
    ) {
        self.suite = suite
        self.localIndex = localIndex
        createdAt = now
        rekeySecret = split.initiator.derive("rekey", mixing: split.responder)
        let initiatorControl = AEADKey(suite, split.initiator.derive("control"))
        let responderControl = AEADKey(suite, split.responder.derive("control"))
        if isInitiator {
            sendControl = initiatorControl
            receiveHeader = AEADKey(suite, split.responder.derive("header"))
            receiveControl = responderControl
        } else {
            sendControl = responderControl
            receiveHeader = AEADKey(suite, split.initiator.derive("header"))
            receiveControl = initiatorControl
        }
    }

    /// The pre-shared key of the rekey that follows these keys.
    borrowing func takeRekeySecret() -> Secret { rekeySecret.clone() }

    // MARK: Packets

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
