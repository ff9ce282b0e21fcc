internal import OnionCrypto
internal import Wire

/// One generation of a link's keys as worker 0 keeps it: the send key, the key of outgoing control packets, and the
/// secret of the next rekey.
struct SendingKeys: ~Copyable {
    /// The send key under which all senders seal headers.
    let sendKey: LinkSendKey
    /// When the handshake that made them finished.
    let createdAt: Instant
    private let control: AEADKey
    private let rekeySecret: Secret

    init(_ split: borrowing SplitKeys, isInitiator: Bool, suite: Suite, remoteIndex: UInt32, now: Instant) {
        sendKey = LinkSendKey(split, isInitiator: isInitiator, suite: suite, remoteIndex: remoteIndex)
        createdAt = now
        control = AEADKey(
            suite, isInitiator ? split.initiator.derive("control") : split.responder.derive("control"))
        rekeySecret = split.initiator.derive("rekey", mixing: split.responder)
    }

    /// A copy of the pre-shared key of the next rekey.
    borrowing func takeRekeySecret() -> Secret { rekeySecret.clone() }

    /// Seals a control packet's payload in place and writes S4, zeroes the other slots and the path id.
    borrowing func sealControl(_ packet: inout MutableRawSpan, counter: UInt64) {
        packet.pathID = 0
        packet.zeroSlots(1...3)
        packet.setHopCounter(4, counter)
        control.seal(&packet, from: Packet.payloadOffset, to: packet.byteCount, counter: counter)
    }

    /// The same if `sendKey` is that of these keys; false otherwise.
    borrowing func sealControl(_ packet: inout MutableRawSpan, counter: UInt64, ifFor sendKey: LinkSendKey) -> Bool {
        guard sendKey === self.sendKey else { return false }
        sealControl(&packet, counter: counter)
        return true
    }

    /// Whether the keys are past their lifetime.
    borrowing func isOver(_ lifetime: TimeSpan, _ now: Instant) -> Bool { now - createdAt >= lifetime }
}
