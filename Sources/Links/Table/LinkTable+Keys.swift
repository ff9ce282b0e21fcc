internal import EventLoop
internal import Link
internal import Wire

/// Operations of `Links` on a link's state that are not done per packet.
extension LinkTable {
    /// How many links there are.
    var count: Int { placesUsed - freeCount }

    mutating func setAddress(_ address: SocketAddress, of link: LinkID) {
        guard isLive(link) else { return }
        unsafe entry(link).pointee.sending.address = address
        forgetFound()
    }

    /// When the link's liveness is next due for a tick; never if the link is gone.
    func nextTick(_ link: LinkID) -> Instant {
        isLive(link) ? unsafe entry(link).pointee.liveness.nextDeadline : Instant(nanoseconds: .max)
    }

    /// The action that the link's liveness asks for now.
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

    // MARK: New keys

    /// Uses new keys that the peer already has, in both directions.
    mutating func renew(_ link: LinkID, _ keys: consuming ReceivingKeys, _ line: LinkLine) {
        guard isLive(link) else { return }
        unsafe entry(link).pointee.receiver.renew(keys)
        unsafe entry(link).pointee.sending.use(line)
        freeRetired(link)
    }

    /// Uses new keys in both directions once the peer's first packet under them arrives.
    mutating func expect(_ link: LinkID, _ keys: consuming ReceivingKeys, _ line: LinkLine) {
        guard isLive(link) else { return }
        unsafe entry(link).pointee.receiver.expect(keys)
        unsafe entry(link).pointee.sending.waiting = line
        freeRetired(link)
    }

    /// Wipes receiving keys that have expired.
    mutating func expire(_ link: LinkID) {
        guard isLive(link) else { return }
        unsafe entry(link).pointee.receiver.expire(now: now)
        if unsafe !entry(link).pointee.receiver.isWaiting { unsafe entry(link).pointee.sending.waiting = nil }
        freeRetired(link)
    }
}
