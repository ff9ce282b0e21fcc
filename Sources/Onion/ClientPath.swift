internal import BasicContainers
internal import OnionCrypto
public import Wire

/// The result of opening a packet that came back on a path.
public enum ClientOpening: Equatable, Sendable {
    /// All layers verified: the payload is open, and this is its packet number.
    case packet(UInt64)
    /// The packet is to be dropped.
    case dropped(DropReason)
}

/// A built path as its client holds it: the layers of 1 to 4 hops (protocol.md, section 5).
public struct ClientPath: ~Copyable {
    private struct Hop: ~Copyable {
        let slot: Int
        var layers: HopLayers
        /// The number found by `open` and not committed yet.
        var pending: UInt64 = 0
    }

    private var hops: RigidArray<Hop>
    /// The secrets shared with the terminal, for sessions.
    public let secrets: SessionSecrets
    /// How many hops the path has.
    public let hopCount: Int

    /// A path of the hops whose keys are `keys`, guard first; the last one has slot 4.
    init(keys: consuming RigidArray<HopKeys>, secrets: consuming SessionSecrets, now: Instant) {
        hopCount = keys.count
        hops = RigidArray(capacity: Packet.slotCount)
        self.secrets = secrets
        while let key = keys.popLast() {
            let slot = key.slot
            hops.insert(Hop(slot: slot, layers: key.clientEnds(now: now)), at: 0)
        }
    }

    /// The number that the next packet to the terminal will have.
    public var nextNumber: UInt64 { hops[hops.count - 1].layers.sealer.nextNumber }

    /// Skips one packet number towards the terminal, so that a false acknowledgement of it can be detected.
    public mutating func skipNumber() { hops[hops.count - 1].layers.sealer.skipNumber() }

    /// Seals all layers of a packet whose payload is written, in place, from the terminal's to the guard's.
    ///
    /// The caller writes path id and link fields.
    ///
    /// - Returns: the packet number, or nil if the path's counters are used up; the packet must then not be sent.
    public mutating func seal(_ packet: inout MutableRawSpan, now: Instant) -> UInt64? {
        packet.zeroSlots(1...Packet.slotCount)
        var index = hops.count - 1
        guard let number = hops[index].layers.sealer.seal(&packet, slot: Packet.slotCount, now: now) else {
            return nil
        }
        while index > 0 {
            index -= 1
            guard hops[index].layers.sealer.seal(&packet, slot: hops[index].slot, now: now) != nil else { return nil }
        }
        return number
    }

    /// Opens all layers of a packet from the guard, in place, from the guard's to the terminal's.
    ///
    /// The replay windows move only after all layers have verified; a dropped packet may be wiped.
    public mutating func open(_ packet: inout MutableRawSpan, now: Instant) -> ClientOpening {
        var index = 0
        while index < hops.count {
            switch hops[index].layers.opener.open(&packet, slot: hops[index].slot, now: now) {
            case .opened(let number): hops[index].pending = number
            case .dropped(let reason): return .dropped(reason)
            }
            index += 1
        }
        index = 0
        while index < hops.count {
            hops[index].layers.opener.commit(hops[index].pending)
            index += 1
        }
        return .packet(hops[hops.count - 1].pending)
    }

    /// Wipes keys past their lifetime; call it every few seconds.
    public mutating func forgetPreviousKeys(_ now: Instant) {
        var index = 0
        while index < hops.count {
            hops[index].layers.opener.forgetPrevious(now)
            index += 1
        }
    }
}
