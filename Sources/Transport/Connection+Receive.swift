internal import BasicContainers
public import Wire

extension Connection {
    /// Takes the payload of a packet that arrived on a leg.
    public mutating func receive(leg id: LegID, packetNumber: UInt64, payload: RawSpan, now: Instant)
        -> ConnectionVerdict
    {
        clock = max(clock, now)
        guard let position = find(id) else { return .dropped(.unknownLeg) }
        if isClosed {
            if !isPeerClosed { legs[position].closeWanted = true }
            return .dropped(.closed)
        }
        guard packetNumber <= ReceivedNumbers.largestNumber else { return .dropped(.stale) }
        if let reason = legs[position].received.check(packetNumber) { return .dropped(reason) }
        packet &+= 1
        var isEliciting = false
        var wantsAnswer = false
        var isRefused = false
        var reader = FrameReader(payload)
        do throws(WireError) {
            while let frame = try reader.next() {
                switch frame {
                case .ack(let ack):
                    if let error = acknowledged(ack, now: now) { return fail(error) }
                    continue
                case .connectionClose(let code):
                    isPeerClosed = true
                    closedEvent = code
                    return .accepted
                case .stream(let stream):
                    switch receive(stream) {
                    case .accepted: break
                    case .tooManyGaps: isRefused = true
                    case .violation(let error): return fail(error)
                    }
                case .ping: wantsAnswer = true
                case .legHello: wantsAnswer = true
                case .pathChallenge(let data):
                    wantsAnswer = true
                    // An earlier LEG_CLOSE in the packet may have removed the leg.
                    guard let position = find(id) else { break }
                    if legs[position].responses.count < 4 { legs[position].responses.append(data) }
                    tell(.pathChallenge(id, data))
                case .pathResponse(let data): tell(.pathResponse(id, data))
                case .datagram(let datagram):
                    guard configuration.takesDatagrams else { return fail(.protocolViolation) }
                    receive(datagram, now: now)
                case .maxData(let limit): raise(data: limit)
                case .maxStreamData(let stream, let limit):
                    if let error = raise(stream: stream, limit: limit) { return fail(error) }
                case .maxStreams(let limit): raise(streams: limit)
                case .resetStream(let stream, let code, let size):
                    if let error = reset(peer: stream, code: code, finalSize: size) { return fail(error) }
                case .stopSending(let stream, let code):
                    if let error = stop(peer: stream, code: code) { return fail(error) }
                case .legActive(let leg, let sequence): peerActivated(LegID(leg), sequence: sequence)
                case .legClose(let leg): peerClosed(LegID(leg))
                }
                isEliciting = true
            }
        } catch { return fail(.frameEncoding) }
        // A LEG_CLOSE may have removed the leg, or another one from before it.
        guard let position = find(id) else { return .accepted }
        if isRefused { return .dropped(.tooManyGaps) }
        legs[position].lastReceived = now
        legs[position].received.insert(
            packetNumber, isEliciting: isEliciting, wantsAnswer: wantsAnswer,
            delay: min(legs[position].ackDelay, configuration.maxAckDelay), now: now)
        // With one PING an end that only receives learns the round trip, and that the leg works both ways.
        if legs[position].received.count == 1, legs[position].packetsSent == 0 { legs[position].pingWanted = true }
        return .accepted
    }

    private mutating func fail(_ error: ConnectionError) -> ConnectionVerdict {
        close(code: error.rawValue)
        return .violation(error)
    }

    mutating func tell(_ event: ConnectionEvent) {
        if pathEvents.count < 16 { pathEvents.append(event) }
    }

    private mutating func peerActivated(_ id: LegID, sequence: UInt64) {
        guard role == .responder, sequence > activeSequence else { return }
        activeSequence = sequence
        chosen = id
        guard let position = find(id) else { return }
        legs[position].tellActivated = true
        move(to: id)
    }

    private mutating func peerClosed(_ id: LegID) {
        guard role == .responder, let position = find(id) else { return }
        drop(position)
        if closedLegEvents.count < 256 { closedLegEvents.append(id) }
    }

    // MARK: Streams

    /// The slot of a stream that a frame names; nil if the stream is closed and forgotten.
    ///
    /// Opens the peer's streams up to it but creates only this one, so a frame costs the memory of one stream at most.
    /// The lower ones are created by frames that name them.
    private mutating func named(_ id: UInt64) -> (slot: Int?, error: ConnectionError?) {
        if let slot = index.find(id) { return (slot, nil) }
        let isOwn = (id & 1 == 0) == (role == .initiator)
        if isOwn { return (nil, id < nextOwnStream ? nil : .streamState) }
        let number = id >> 1
        if number < peerStreamsOpened {
            guard unmade.contains(number) else { return (nil, nil) }
            unmade.remove(number, number + 1)
        } else {
            guard number < peerStreamLimit else { return (nil, .streamLimit) }
            unmade.insert(peerStreamsOpened, number)
            peerStreamsOpened = number + 1
        }
        let slot = insertStream(id)
        signal(slot, .opened)
        return (slot, nil)
    }

    private mutating func receive(_ frame: borrowing StreamFrame) -> ReceiveHalf.Outcome {
        let found = named(frame.stream)
        if let error = found.error { return .violation(error) }
        guard let slot = found.slot else { return .accepted(grown: 0, readable: false) }
        // Checked before any state changes, so that an invalid frame leaves no trace.
        let high = frame.offset + UInt64(frame.data.byteCount)
        let highest = streams[slot].receive.highest
        if high > highest, receivedData + (high - highest) > receiveLimit { return .violation(.flowControl) }
        let outcome = streams[slot].receive.receive(frame, pool: &pool, now: clock)
        if case .accepted(let grown, let readable) = outcome {
            receivedData += grown
            if streams[slot].receive.stopped || streams[slot].receive.resetCode != nil { discard(slot) }
            if readable { signal(slot, .readable) }
            closeIfDone(slot)
            if grown > 0 {
                grantData()
                if isCrowded { resetStalledStreams() }
            }
        }
        return outcome
    }

    private mutating func raise(data limit: UInt64) {
        guard limit > sendLimit else { return }
        // `writePacket` wakes the streams that wait for it, one by one.
        sendLimit = limit
    }

    private mutating func raise(stream id: UInt64, limit: UInt64) -> ConnectionError? {
        let found = named(id)
        guard let slot = found.slot else { return found.error }
        if streams[slot].send.raise(limit: limit) {
            if streams[slot].send.canSend { queueToSend(slot) }
            if streams[slot].wantsRoom { sendHalfChanged(slot) }
        }
        return nil
    }

    private mutating func raise(streams limit: UInt64) {
        guard limit > ownStreamLimit else { return }
        // The application has seen that no more streams were allowed, even if it did not try to open one.
        if ownStreamsOpened >= ownStreamLimit { tellStreams = true }
        ownStreamLimit = min(limit, 1 << 60)
    }

    private mutating func reset(peer id: UInt64, code: UInt64, finalSize: UInt64) -> ConnectionError? {
        let found = named(id)
        guard let slot = found.slot else { return found.error }
        let highest = streams[slot].receive.highest
        if finalSize > highest, receivedData + (finalSize - highest) > receiveLimit { return .flowControl }
        let wasReset = streams[slot].receive.resetCode != nil
        switch streams[slot].receive.reset(code: code, finalSize: finalSize, pool: &pool) {
        case .violation(let error): return error
        case .tooManyGaps: break
        case .accepted(let grown, _):
            receivedData += grown
            grantData()
            if streams[slot].receive.resetCode != nil {
                discard(slot)
                if !wasReset, !streams[slot].receive.isAbandoned { signal(slot, .reset) }
            }
        }
        closeIfDone(slot)
        return nil
    }

    private mutating func stop(peer id: UInt64, code: UInt64) -> ConnectionError? {
        let found = named(id)
        guard let slot = found.slot else { return found.error }
        guard streams[slot].send.phase == .open || streams[slot].send.phase == .finished else { return nil }
        streams[slot].peerStopCode = code
        signal(slot, .stopSending)
        reset(StreamID(id), code: code)
        return nil
    }

    // MARK: Datagrams

    private mutating func receive(_ frame: borrowing DatagramFrame, now: Instant) {
        if frame.message == nil {
            arrive(frame.flow, [UInt8](copying: frame.data))
        } else if let whole = reassembly.receive(frame, packet: packet, now: now) {
            arrive(frame.flow, whole)
        }
    }

    private mutating func arrive(_ flow: UInt64, _ bytes: [UInt8]) {
        let cost = bytes.count + 48
        guard arrivedBytes + cost <= configuration.maxDatagramQueue else { return }
        arrivedBytes += cost
        arrived.append((flow, bytes))
    }
}
