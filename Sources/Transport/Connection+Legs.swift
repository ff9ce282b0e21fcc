internal import BasicContainers
public import Wire

extension Connection {
    /// Adds a leg whose packets carry `payloadSize` bytes (256 to 65,535).
    ///
    /// `preamble` is an encoded frame (LEG_HELLO) that comes first in every packet until the peer has acknowledged one.
    /// `initialRTT` is the time that the build of the path took, if known. The first leg is active at once; others
    /// stand by until activated. At a responder a leg is also active at once if it is the chosen one, or if no leg is
    /// active. Returns false if the number is in use, there are `maxLegs` already, or the connection is closed.
    @discardableResult
    public mutating func addLeg(
        _ id: LegID, payloadSize: Int, preamble: [UInt8] = [], initialRTT: TimeSpan? = nil, now: Instant
    ) -> Bool {
        precondition(payloadSize >= 256 && payloadSize <= 65_535 && preamble.count <= 64, "a leg's packets hold frames")
        guard find(id) == nil, legs.count < configuration.maxLegs, !isClosed else { return false }
        clock = max(clock, now)
        let phase = nextRandom()
        legs.append(
            Leg(
                id: id, payloadSize: payloadSize, preamble: preamble, initialRTT: initialRTT,
                algorithm: configuration.congestion, phase: phase))
        if chosen == nil {
            chosen = id
            active = id
        } else if role == .responder, chosen == id || active == nil {
            move(to: id)
        }
        return true
    }

    /// Removes a leg; its unacknowledged data is queued again at once.
    ///
    /// The initiator tells the responder over another leg. If the leg was active, an initiator has no active leg until
    /// `activate`. A responder continues over another leg at once.
    public mutating func removeLeg(_ id: LegID, now: Instant) {
        guard let position = find(id) else { return }
        clock = max(clock, now)
        drop(position)
        if role == .initiator, !legs.isEmpty, legCloses.count < 256 { legCloses.append(id) }
    }

    mutating func drop(_ position: Int) {
        let id = legs[position].id
        requeueAll(position)
        _ = legs.remove(at: position)
        guard active == id else { return }
        active = nil
        if role == .responder, let other = standIn { move(to: other) }
    }

    /// Moves this end's data to the leg, and the responder's too, by LEG_ACTIVE; has no effect at a responder, which
    /// does not choose.
    ///
    /// Data in flight on the old leg stays there if that leg still works, and moves over if a probe was not answered.
    public mutating func activate(_ id: LegID, now: Instant) {
        guard role == .initiator, find(id) != nil else { return }
        clock = max(clock, now)
        if active != id || activeSequence == 0 {
            activeSequence += 1
            activeFrameWanted = true
        }
        chosen = id
        move(to: id)
    }

    mutating func move(to id: LegID) {
        let old = active
        active = id
        guard let old, old != id, let position = find(old) else { return }
        if legs[position].ptoCount >= 1 { requeueAll(position) }
    }

    /// The leg that replaces a responder's missing or suspect active leg: of the others the one that last received a
    /// packet.
    ///
    /// If the active leg is suspect, this is a leg that is not suspect.
    var standIn: LegID? {
        var best: (id: LegID, heard: UInt64)?
        var position = 0
        while position < legs.count {
            let heard = legs[position].lastReceived?.nanoseconds ?? 0
            let isSilent = legs[position].ptoCount >= Leg.suspectCount && active != nil
            if legs[position].id != active, !isSilent, best.map({ heard > $0.heard }) ?? true {
                best = (legs[position].id, heard)
            }
            position += 1
        }
        return best?.id
    }

    /// Queues everything in flight on a leg again, without telling its congestion controller.
    mutating func requeueAll(_ position: Int) {
        var index = legs[position].sent.firstOpen
        index = max(index, legs[position].sent.packets.head)
        while index < legs[position].sent.packets.tail {
            let packet = legs[position].sent[index]
            if packet.state == .outstanding, packet.isEliciting {
                legs[position].sent[index].state = .lost
                legs[position].settle()
                requeue(position, packet)
            }
            index += 1
        }
        legs[position].sent.advanceOpen()
        legs[position].lossTime = nil
    }

    /// The leg that carries data.
    public var activeLeg: LegID? { active }

    /// The state of a leg; nil if there is no such leg.
    public func legStatus(_ id: LegID) -> LegStatus? {
        guard let position = find(id) else { return nil }
        return LegStatus(
            smoothedRTT: legs[position].roundTrip.smoothed, minRTT: legs[position].roundTrip.smallest,
            ptoCount: legs[position].ptoCount, bytesInFlight: legs[position].inFlight,
            congestionWindow: legs[position].congestion.window, lastReceived: legs[position].lastReceived,
            everAcknowledged: legs[position].everAcknowledged, answeredTime: legs[position].answeredTime,
            isActive: active == id,
            packetsSent: legs[position].packetsSent, packetsAcknowledged: legs[position].packetsAcknowledged,
            packetsLost: legs[position].packetsLost, packetsSpuriouslyLost: legs[position].packetsSpuriouslyLost,
            packetsReceived: legs[position].received.count)
    }

    /// Adds to the leg's next packet a PING, which the peer acknowledges at once.
    public mutating func ping(_ id: LegID) {
        guard let position = find(id) else { return }
        legs[position].pingWanted = true
    }

    /// Sends PATH_CHALLENGE once on this leg; `.pathResponse` brings the same eight bytes back.
    public mutating func challenge(_ id: LegID, data: UInt64) {
        guard let position = find(id) else { return }
        legs[position].challengeWanted = data
    }
}
