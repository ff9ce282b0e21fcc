internal import EventLoop
internal import Link
internal import Wire

/// What `Links` does to the state of a link now and then.
extension LinkTable {
    /// How many links there are.
    var count: Int { placesUsed - freeCount }

    mutating func setAddress(_ address: SocketAddress, of link: LinkID) {
        guard isLive(link) else { return }
        unsafe entry(link).pointee.address = address
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

    /// Wipes keys that are over; true when the link must close.
    mutating func expire(_ link: LinkID) -> Bool {
        guard isLive(link) else { return false }
        let isOver = unsafe entry(link).pointee.keyring.expire(now: now)
        freeRetired(link)
        return isOver
    }

    mutating func wantsRekey(_ link: LinkID) -> Bool {
        guard isLive(link) else { return false }
        return unsafe entry(link).pointee.keyring.wantsRekey(now: now)
    }

    /// The body of REKEY.
    mutating func startRekey(_ link: LinkID, index: UInt32) -> [UInt8] {
        unsafe entry(link).pointee.keyring.startRekey(localIndex: index)
    }

    /// The answer to REKEY; nil when it is not valid.
    mutating func answerRekey(_ link: LinkID, _ body: [UInt8], index: UInt32) -> [UInt8]? {
        guard isLive(link) else { return nil }
        defer { freeRetired(link) }
        return unsafe entry(link).pointee.keyring.answerRekey(body.rawSpan, localIndex: index, now: now)
    }

    /// Takes the answer to our REKEY, or nil for none; true when the keys are new.
    mutating func finishRekey(_ link: LinkID, _ answer: [UInt8]?) -> Bool {
        guard isLive(link) else { return false }
        defer { freeRetired(link) }
        guard let answer else {
            unsafe entry(link).pointee.keyring.rekeyFailed(now: now)
            return false
        }
        return unsafe entry(link).pointee.keyring.finishRekey(answer.rawSpan, now: now)
    }
}
