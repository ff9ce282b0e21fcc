public import Wire

/// The next step for a packet after its layer.
public enum Verdict: Equatable, Sendable {
    /// Send it on this link; the path id is already in the packet.
    case send(link: UInt32, pathID: UInt64)
    /// The payload is decrypted: the path ends at this node, and this is the packet number.
    case deliver(path: PathHandle, number: UInt64)
    /// Drop it and count the reason.
    case drop(DropReason)
}

/// The packet path: one layer, in place (protocol.md, section 5).
extension ForwardingTable {
    /// Removes this hop's layer from a packet towards the exit.
    ///
    /// `place` is the result of `find` for the packet. Commit the link's own replay window afterwards, and only if this
    /// does not return a drop.
    @inlinable @inline(__always)
    public mutating func forward(_ place: UInt32, _ packet: inout MutableRawSpan, now: Instant) -> Verdict {
        precondition(isLive(place), "the place of a path that is gone")
        let hop = unsafe pathPointer(place)
        guard unsafe hop.pointee.isReady else { return .drop(.notReady) }
        let slot = unsafe hop.pointee.slot
        switch unsafe hop.pointee.layers.opener.open(&packet, slot: slot, now: now) {
        case .dropped(let reason): return .drop(reason)
        case .opened(let number):
            unsafe hop.pointee.layers.opener.commit(number)
            packet.zeroSlots(1...slot)
            if slot == Packet.slotCount { return .deliver(path: handle(place), number: number) }
            let next = unsafe hop.pointee.next
            packet.pathID = next.pathID
            return .send(link: next.link, pathID: next.pathID)
        }
    }

    /// Adds this hop's layer to a packet towards the client.
    ///
    /// `place` is the result of `find` for the packet. Commit the link's own replay window whatever this returns: the
    /// header has verified, and nothing else in the packet can be verified here.
    @inlinable @inline(__always)
    public mutating func backward(_ place: UInt32, _ packet: inout MutableRawSpan, now: Instant) -> Verdict {
        precondition(isLive(place), "the place of a path that is gone")
        let hop = unsafe pathPointer(place)
        guard unsafe hop.pointee.isReady else { return .drop(.notReady) }
        return unsafe sealBackward(hop, &packet, now).verdict
    }

    /// Seals a terminal's packet towards the client; its payload is written.
    ///
    /// - Returns: the link to send it on and its packet number; a drop if the path is gone, does not end here or has
    ///   used up its counters.
    public mutating func sealAtTerminal(
        _ path: PathHandle, _ packet: inout MutableRawSpan, now: Instant
    ) -> (verdict: Verdict, number: UInt64) {
        guard isLive(path), unsafe pathPointer(path.index).pointee.isTerminal else { return (.drop(.unknownPath), 0) }
        return unsafe sealBackward(pathPointer(path.index), &packet, now)
    }

    /// The number of the terminal's next packet; nil if the path is gone or does not end here.
    public func nextNumberAtTerminal(_ path: PathHandle) -> UInt64? {
        guard isLive(path), unsafe pathPointer(path.index).pointee.isTerminal else { return nil }
        return unsafe pathPointer(path.index).pointee.layers.sealer.nextNumber
    }

    /// Skips one of the terminal's packet numbers, so that a false acknowledgement of it can be detected.
    public mutating func skipNumberAtTerminal(_ path: PathHandle) {
        guard isLive(path), unsafe pathPointer(path.index).pointee.isTerminal else { return }
        unsafe pathPointer(path.index).pointee.layers.sealer.skipNumber()
    }

    @inlinable @inline(__always)
    func sealBackward(
        _ hop: UnsafeMutablePointer<HopState>, _ packet: inout MutableRawSpan, _ now: Instant
    ) -> (verdict: Verdict, number: UInt64) {
        let slot = unsafe hop.pointee.slot
        if slot > 1 { packet.zeroSlots(1...slot - 1) }
        guard let number = unsafe hop.pointee.layers.sealer.seal(&packet, slot: slot, now: now) else {
            return (.drop(.exhausted), 0)
        }
        let previous = unsafe hop.pointee.previous
        packet.pathID = previous.pathID
        return (.send(link: previous.link, pathID: previous.pathID), number)
    }
}
