public import Wire

/// The next step for a packet after its layer.
public enum ForwardingStep: Equatable, Sendable {
    /// Send it on this link; the path id is already in the packet.
    case send(link: UInt32, pathID: UInt64)
    /// The payload is decrypted: the path ends at this node, and this is the packet number.
    case deliver(path: PathHandle, number: UInt64)
    /// Drop it and count the reason.
    case drop(DropReason)
}

/// The result of a look-up of a path id on a link.
public enum Passage: Equatable, Sendable {
    /// No path has this id on this link.
    case unknown
    /// Towards the exit, along the path at this place; valid until the table changes.
    case forward(UInt32)
    /// Towards the client, along the path at this place; valid until the table changes.
    case backward(UInt32)
}

/// One layer, in place (protocol.md, section 5).
///
/// A relay's packets go through ``halves`` directly, by one access for each batch (`PathPackets`). A terminal's own
/// packets are sealed here.
extension ForwardingTable {
    /// The result for `pathID` on `link`, by one table look-up.
    @inlinable @inline(__always)
    public func find(link: UInt32, pathID: UInt64) -> Passage { halves.find(link: link, pathID: pathID) }

    /// Removes this hop's layer from a packet towards the exit.
    ///
    /// `place` is the result of `find` for the packet. Commit the link's own replay window afterwards, and only if this
    /// does not return a drop.
    @inlinable @inline(__always)
    public mutating func forward(_ place: UInt32, _ packet: inout MutableRawSpan, now: Instant) -> ForwardingStep {
        halves.forward(place, &packet, now: now)
    }

    /// Adds this hop's layer to a packet towards the client.
    ///
    /// `place` is the result of `find` for the packet. Commit the link's own replay window whatever this returns: the
    /// header has verified, and nothing else in the packet can be verified here.
    @inlinable @inline(__always)
    public mutating func backward(_ place: UInt32, _ packet: inout MutableRawSpan, now: Instant) -> ForwardingStep {
        halves.backward(place, &packet, now: now)
    }

    /// Seals a terminal's packet towards the client; its payload is written.
    ///
    /// - Returns: the link to send it on and its packet number; a drop if the path is gone, does not end here or has
    ///   used up its counters.
    public mutating func sealAtTerminal(
        _ path: PathHandle, _ packet: inout MutableRawSpan, now: Instant
    ) -> (verdict: ForwardingStep, number: UInt64) {
        guard let half = unsafe terminalHalf(path) else { return (.drop(.unknownPath), 0) }
        return unsafe PathHalves.seal(half, &packet, now)
    }

    /// The number of the terminal's next packet; nil if the path is gone or does not end here.
    public func nextNumberAtTerminal(_ path: PathHandle) -> UInt64? {
        guard let half = unsafe terminalHalf(path) else { return nil }
        return unsafe half.pointee.sealer.nextNumber
    }

    /// Skips one of the terminal's packet numbers, so that a false acknowledgement of it can be detected.
    public mutating func skipNumberAtTerminal(_ path: PathHandle) {
        guard let half = unsafe terminalHalf(path) else { return }
        unsafe half.pointee.sealer.skipNumber()
    }

    /// The half that seals at a terminal; nil if the path is gone or does not end here.
    private func terminalHalf(_ path: PathHandle) -> UnsafeMutablePointer<BackwardHalf>? {
        guard let record = unsafe register.find(path), unsafe record.pointee.isTerminal,
            unsafe record.pointee.backward.isAt(halves.worker)
        else { return nil }
        return unsafe halves.backwards.pointer(record.pointee.backward.place)
    }
}
