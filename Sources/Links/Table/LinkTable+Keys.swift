internal import EventLoop
internal import Link
internal import Wire

/// Operations of `Links` on a link's state that are not done per packet.
extension LinkTable {
    mutating func setAddress(_ address: SocketAddress, of link: LinkID) {
        guard isLive(link) else { return }
        unsafe entry(link).pointee.sending.address = address
        forgetFound()
    }

    /// When the link's liveness is next due for a tick; never if the link is gone.
    func nextTick(_ link: LinkID) -> Instant {
        isLive(link) ? unsafe entry(link).pointee.liveness.nextDeadline : Instant(nanoseconds: .max)
    }

    /// The links whose liveness is due for a tick at `moment`; ``earliestTick`` is that of the others from then on.
    mutating func takeDueTicks(at moment: Instant) -> [LinkID] {
        guard moment >= earliestTick else { return [] }
        var due: [LinkID] = []
        earliestTick = Instant(nanoseconds: .max)
        for place in 0..<placesUsed {
            guard let link = link(at: place) else { continue }
            let next = unsafe entry(link).pointee.liveness.nextDeadline
            if next <= moment { due.append(link) } else { earliestTick = min(earliestTick, next) }
        }
        return due
    }

    /// The action that the link's liveness asks for at this moment.
    ///
    /// `roundTrip` is the link's present round-trip time; for `isPatient` see ``Liveness/tick(now:isPatient:)``.
    mutating func tick(_ link: LinkID, roundTrip: TimeSpan?, isPatient: Bool) -> Liveness.Action {
        guard isLive(link) else { return .none }
        if let roundTrip { unsafe entry(link).pointee.liveness.measured(roundTrip) }
        return unsafe entry(link).pointee.liveness.tick(now: now, isPatient: isPatient)
    }

    /// When the last packet arrived on the link; nil if the link is gone.
    func heard(_ link: LinkID) -> Instant? { isLive(link) ? unsafe entry(link).pointee.liveness.heard : nil }

    /// Since when the peer has left something unanswered; nil if it has not.
    func silentSince(_ link: LinkID) -> Instant? {
        isLive(link) ? unsafe entry(link).pointee.liveness.silentSince : nil
    }

    /// Whether the peer has left a ping unanswered.
    func leavesPings(_ link: LinkID) -> Bool {
        isLive(link) ? unsafe entry(link).pointee.liveness.leavesPings : false
    }

    // MARK: New keys

    /// Receives an own link's packets under new keys, which the peer has already.
    mutating func renew(_ link: LinkID, _ keys: consuming ReceivingKeys) {
        guard let receiver = unsafe receiver(of: link) else { return }
        indices.lead(keys.localIndex, to: UInt32(truncatingIfNeeded: link.place))
        unsafe receiver.pointee.renew(keys)
    }

    /// Sends with new keys.
    mutating func use(_ link: LinkID, _ sendKey: LinkSendKey) {
        guard let entry = unsafe liveEntry(link) else { return }
        unsafe entry.pointee.sending.use(sendKey)
    }

    /// Receives an own link's packets under new keys from the peer's first one on, and sends with their send key from
    /// then on if that is given.
    mutating func expect(_ link: LinkID, _ keys: consuming ReceivingKeys, _ sendKey: LinkSendKey?) {
        guard let receiver = unsafe receiver(of: link) else { return }
        indices.lead(keys.localIndex, to: UInt32(truncatingIfNeeded: link.place))
        unsafe receiver.pointee.expect(keys)
        unsafe entry(link).pointee.sending.waiting = sendKey
    }

    /// Wipes an own link's receiving keys that are over; returns the receiver indices that are free.
    @discardableResult
    mutating func expire(_ link: LinkID) -> [UInt32] {
        guard let receiver = unsafe receiver(of: link) else { return [] }
        unsafe receiver.pointee.expire(now: now)
        if unsafe !receiver.pointee.isWaiting { unsafe entry(link).pointee.sending.waiting = nil }
        return freeRetired(link)
    }
}
