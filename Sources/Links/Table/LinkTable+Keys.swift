internal import EventLoop
internal import Link
internal import Wire

/// What `Links` does to the state of a link now and then.
extension LinkTable {
    /// How many links there are.
    var count: Int { placesUsed - freeCount }

    mutating func setAddress(_ address: SocketAddress, of link: LinkID) {
        guard isLive(link) else { return }
        unsafe entry(link).pointee.sending.address = address
        forgetFound()
    }

    /// When the link's liveness wants a tick.
    func nextTick(_ link: LinkID) -> Instant {
        isLive(link) ? unsafe entry(link).pointee.liveness.nextDeadline : Instant(nanoseconds: .max)
    }

    /// What the link's liveness asks for now, where the round trip is that long; `isPatient` as for ``Liveness/tick(now:isPatient:)``.
    mutating func tick(_ link: LinkID, roundTrip: TimeSpan?, isPatient: Bool) -> Liveness.Action {
        guard isLive(link) else { return .none }
        if let roundTrip { unsafe entry(link).pointee.liveness.measured(roundTrip) }
        return unsafe entry(link).pointee.liveness.tick(now: now, isPatient: isPatient)
    }

    /// When something came over the link last; nil when it is gone.
    func heard(_ link: LinkID) -> Instant? { isLive(link) ? unsafe entry(link).pointee.liveness.heard : nil }

    /// Since when the link leaves something unanswered; nil while it does not.
    func silentSince(_ link: LinkID) -> Instant? {
        isLive(link) ? unsafe entry(link).pointee.liveness.silentSince : nil
    }

    // MARK: New keys

    /// Uses new keys in both directions, which the peer has already.
    mutating func renew(_ link: LinkID, _ keys: consuming ReceivingKeys, _ line: LinkLine) {
        guard isLive(link) else { return }
        unsafe entry(link).pointee.receiver.renew(keys)
        unsafe entry(link).pointee.sending.use(line)
        freeRetired(link)
    }

    /// Uses new keys in both directions from the peer's first packet under them on.
    mutating func expect(_ link: LinkID, _ keys: consuming ReceivingKeys, _ line: LinkLine) {
        guard isLive(link) else { return }
        unsafe entry(link).pointee.receiver.expect(keys)
        unsafe entry(link).pointee.sending.waiting = line
        freeRetired(link)
    }

    /// Wipes receiving keys that are over.
    mutating func expire(_ link: LinkID) {
        guard isLive(link) else { return }
        unsafe entry(link).pointee.receiver.expire(now: now)
        if unsafe !entry(link).pointee.receiver.isWaiting { unsafe entry(link).pointee.sending.waiting = nil }
        freeRetired(link)
    }
}
