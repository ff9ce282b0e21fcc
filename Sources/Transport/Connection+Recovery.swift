internal import BasicContainers
public import Wire

extension Connection {
    /// When to call `deadlineReached`, at the latest.
    public var nextDeadline: Instant? {
        guard !isClosed else { return nil }
        var earliest = reliefDeadline
        var position = 0
        while position < legs.count {
            if let time = legs[position].received.deadline { earliest = min(earliest ?? time, time) }
            if let time = legs[position].lossTime ?? legs[position].probeDeadline {
                earliest = min(earliest ?? time, time)
            }
            if legs[position].isPaced, legs[position].id == active, hasData, legs[position].hasWindow {
                let time = legs[position].pacer.release(isPaced: true) + .milliseconds(1)
                earliest = min(earliest ?? time, time)
            }
            position += 1
        }
        return earliest
    }

    /// Runs the timers that are due.
    public mutating func deadlineReached(now: Instant) {
        clock = max(clock, now)
        guard !isClosed else { return }
        if isCrowded { resetStalledStreams() }
        var position = 0
        while position < legs.count {
            if let time = legs[position].lossTime {
                if time <= now { detectLosses(position, now: now) }
            } else if let time = legs[position].probeDeadline, time <= now {
                probe(position, now: now)
            }
            position += 1
        }
    }

    /// Handles a probe timeout (RFC 9002, section 6.2): sends the oldest data again and asks the peer for an answer.
    private mutating func probe(_ position: Int, now: Instant) {
        legs[position].ptoCount += 1
        legs[position].probes = 1
        // The backoff counts from here even if no probe can be written now.
        legs[position].lastElicitingTime = now
        if legs[position].ptoCount >= Leg.suspectCount {
            if !legs[position].isSuspectTold {
                legs[position].isSuspectTold = true
                legs[position].tellSuspect = true
            }
            // The responder moves its data: the initiator may have none to send, and then does not notice the failure.
            if role == .responder, legs[position].id == active, let other = standIn { move(to: other) }
        }
        let isActive = legs[position].id == active
        if !isActive, active != nil, legs[position].elicitingInFlight > 1 {
            // No later packet on this leg can reveal the loss; the other leg takes over.
            requeueAll(position)
            return
        }
        legs[position].sent.advanceOpen()
        var index = legs[position].sent.firstOpen
        var copies = 0
        while index < legs[position].sent.packets.tail, copies < 2 {
            let packet = legs[position].sent[index]
            if packet.state == .outstanding, packet.isEliciting {
                requeue(position, packet)
                copies += 1
            }
            index += 1
        }
        if copies > 1 { legs[position].probes = 2 }
    }

    /// The accumulated results of the ranges of one ACK.
    private struct Acknowledged {
        var bytes = 0
        var spuriousBytes = 0
        var newest: SentPacket?
        /// The packet with the largest number of the frame, if it is newly acknowledged.
        var largest: SentPacket?
    }

    /// Handles an ACK frame that arrived on any leg: at most one for each leg in a packet.
    ///
    /// The work is bounded by the newly acknowledged packets: a run of packets that were acknowledged before is passed
    /// in one step.
    mutating func acknowledged(_ frame: borrowing AckFrame, now: Instant) -> ConnectionError? {
        guard let position = find(LegID(frame.leg)) else { return nil }
        guard frame.largest < legs[position].sent.nextNumber, legs[position].acknowledgedBy != packet else {
            return .protocolViolation
        }
        legs[position].acknowledgedBy = packet
        let inFlightBefore = legs[position].inFlight
        var found = Acknowledged()
        var ranges = frame.ranges
        while let range = ranges.next() {
            let head = legs[position].sent.packets.head
            guard head < legs[position].sent.packets.tail else { break }
            let firstNumber = legs[position].sent[head].number
            guard range.high >= firstNumber else { break }
            let top = legs[position].sent.lastIndex(atMost: range.high)
            guard top >= head, legs[position].sent[top].number == range.high else { return .protocolViolation }
            let low = max(range.low, firstNumber)
            // Numbers in the log ascend: if as many packets as numbers lie between the two, no number was skipped.
            guard range.high - low <= UInt64(top - head) else { return .protocolViolation }
            let bottom = top - Int(range.high - low)
            guard legs[position].sent[bottom].number == low else { return .protocolViolation }
            var index = bottom
            while index <= top {
                legs[position].sent.countStep()
                if legs[position].sent[index].state == .acknowledged {
                    index = legs[position].sent.endOfAcknowledged(from: index)
                } else {
                    acknowledge(position, index, largest: frame.largest, &found)
                    index += 1
                }
            }
            legs[position].sent.acknowledgedAll(from: bottom, to: top)
        }
        guard found.bytes > 0 || found.largest != nil else { return nil }
        legs[position].sent.advanceOpen()
        finishAcknowledgement(position, frame, found, inFlightBefore: inFlightBefore, now: now)
        return nil
    }

    /// Records that the packet at `index` of the log has arrived.
    private mutating func acknowledge(_ position: Int, _ index: Int, largest: UInt64, _ found: inout Acknowledged) {
        let packet = legs[position].sent[index]
        legs[position].sent[index].state = .acknowledged
        legs[position].topAcknowledged = max(legs[position].topAcknowledged, index)
        if packet.isEliciting {
            found.bytes += legs[position].payloadSize
            legs[position].packetsAcknowledged += 1
            if packet.state == .outstanding {
                legs[position].settle()
            } else if packet.isCounted {
                let distance = legs[position].sent.packets.tail - index
                let threshold = min(distance, Int(clamping: largest - packet.number))
                legs[position].sawReordering(distance: threshold)
                found.spuriousBytes += legs[position].payloadSize
                legs[position].episodeLosses -= 1
            }
            if found.newest.map({ packet.number > $0.number }) ?? true { found.newest = packet }
        }
        if packet.number == largest { found.largest = packet }
        settleFrames(position, packet)
    }

    private mutating func finishAcknowledgement(
        _ position: Int, _ frame: borrowing AckFrame, _ found: Acknowledged, inFlightBefore: Int, now: Instant
    ) {
        var roundTrip: TimeSpan?
        if let largest = found.largest, largest.isEliciting {
            let delay = TimeSpan.microseconds(Int64(min(frame.delay, 40_000)))
            legs[position].roundTrip.sample(now - largest.time, claimedDelay: delay)
            roundTrip = legs[position].roundTrip.adjusted
        }
        guard let newest = found.newest else { return }
        legs[position].ptoCount = 0
        legs[position].probes = 0
        legs[position].isSuspectTold = false
        if role == .responder, let chosen, chosen == legs[position].id, chosen != active { move(to: chosen) }
        if !legs[position].everAcknowledged {
            legs[position].everAcknowledged = true
            legs[position].tellValidated = true
        }
        legs[position].delivered += UInt64(found.bytes)
        legs[position].deliveredTime = now
        legs[position].firstSentTime = newest.time
        legs[position].answeredTime = newest.time
        let sendTime = newest.time - newest.firstSentTime
        let ackTime = now - newest.deliveredTime
        let interval = max(sendTime, ackTime)
        var rate: Double?
        if interval.nanoseconds > 0, let smallest = legs[position].roundTrip.smallest, interval >= smallest {
            rate = Double(legs[position].delivered - newest.delivered) / interval.inSeconds
        }
        if found.spuriousBytes > 0 {
            legs[position].congestion.lossWasSpurious(
                bytes: found.spuriousBytes, allOfEpisode: legs[position].episodeLosses <= 0)
        }
        let lost = detectLosses(position, now: now)
        legs[position].congestion.acknowledged(
            AckSample(
                now: now, acknowledged: found.bytes, inFlightBefore: inFlightBefore,
                inFlight: legs[position].inFlight, lost: lost, roundTrip: roundTrip, rate: rate,
                isAppLimited: newest.isAppLimited, delivered: legs[position].delivered,
                priorDelivered: newest.delivered, largestAcknowledged: frame.largest,
                nextNumber: legs[position].sent.nextNumber))
        let keep = legs[position].roundTrip.smoothed * 2
        legs[position].sent.trim(horizon: now + (.zero - keep))
    }

    /// Declares lost the packets that enough later packets or enough time have overtaken (RFC 9002, section 6.1);
    /// returns their bytes.
    @discardableResult
    private mutating func detectLosses(_ position: Int, now: Instant) -> Int {
        legs[position].lossTime = nil
        legs[position].sent.advanceOpen()
        let top = legs[position].topAcknowledged
        let delay = legs[position].lossDelay
        let threshold = legs[position].packetThreshold
        var lost = 0
        var newestLost = Instant(nanoseconds: 0)
        var index = legs[position].sent.firstOpen
        while index < top {
            let packet = legs[position].sent[index]
            if packet.state == .outstanding, packet.isEliciting {
                guard top - index >= threshold || packet.time + delay <= now else {
                    legs[position].lossTime = packet.time + delay
                    break
                }
                legs[position].sent[index].state = .lost
                legs[position].sent[index].isCounted = true
                legs[position].settle()
                legs[position].packetsLost += 1
                lost += legs[position].payloadSize
                newestLost = max(newestLost, packet.time)
                requeue(position, packet)
            }
            index += 1
        }
        if lost > 0 {
            legs[position].sent.advanceOpen()
            legs[position].episodeLosses = max(0, legs[position].episodeLosses) + lost / legs[position].payloadSize
            legs[position].congestion.lost(bytes: lost, newestLost: newestLost, now: now)
        }
        return lost
    }

    /// Tells the streams that a packet's frames have arrived.
    private mutating func settleFrames(_ position: Int, _ packet: SentPacket) {
        for offset in 0..<Int(packet.frameCount) {
            let frame = legs[position].sent.frames[packet.firstFrame + offset]
            switch frame.kind {
            case .stream, .streamFin:
                guard let slot = slot(frame.stream) else { continue }
                let (held, pending) = (streams[slot].send.held, streams[slot].send.pending)
                streams[slot].send.acknowledge(
                    offset: frame.value, count: Int(frame.count), fin: frame.kind == .streamFin, pool: &pool)
                heldToSend -= held - streams[slot].send.held
                pendingToSend -= pending - streams[slot].send.pending
                sendHalfChanged(slot)
            case .reset:
                guard let slot = slot(frame.stream) else { continue }
                streams[slot].send.resetAcknowledged()
                sendHalfChanged(slot)
            case .ack: legs[position].received.forget(upTo: frame.value)
            case .maxData, .maxStreamData, .maxStreams, .stopSending, .legActive, .legClose: continue
            }
        }
    }

    /// Queues a packet's frames again.
    mutating func requeue(_ position: Int, _ packet: SentPacket) {
        for offset in 0..<Int(packet.frameCount) {
            let frame = legs[position].sent.frames[packet.firstFrame + offset]
            switch frame.kind {
            case .stream, .streamFin:
                guard let slot = slot(frame.stream) else { continue }
                streams[slot].send.lose(
                    offset: frame.value, count: Int(frame.count), fin: frame.kind == .streamFin)
                if streams[slot].send.canSend { queueToSend(slot, as: .first) }
            case .reset:
                guard let slot = slot(frame.stream), streams[slot].send.phase == .reset else { continue }
                queueControl(slot, .reset)
            case .stopSending:
                guard let slot = slot(frame.stream), !streams[slot].receive.isDone else { continue }
                queueControl(slot, .stopSending)
            case .maxStreamData:
                guard let slot = slot(frame.stream), streams[slot].receive.limit == frame.value else { continue }
                queueControl(slot, .maxStreamData)
            case .maxData: if frame.value == receiveLimit { maxDataWanted = true }
            case .maxStreams: if frame.value == peerStreamLimit { maxStreamsWanted = true }
            case .legActive: if frame.value == activeSequence { activeFrameWanted = true }
            case .legClose: if legCloses.count < 256 { legCloses.append(LegID(UInt8(truncatingIfNeeded: frame.value))) }
            case .ack: continue
            }
        }
    }
}
