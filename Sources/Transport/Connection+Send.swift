internal import BasicContainers
public import Wire

extension Connection {
    private var hasStreamData: Bool { !sendQueue.isEmpty || !shortQueue.isEmpty || mayWake || mayWakeLong }

    /// Whether there are frames that only the active leg carries.
    var hasData: Bool {
        hasStreamData || !datagrams.isEmpty || !controlQueue.isEmpty || maxDataWanted || maxStreamsWanted
            || activeFrameWanted || !legCloses.isEmpty
    }

    /// Whether `writePacket` would send on this leg.
    ///
    /// This may be true and `writePacket` still return false, if the peer's credit allows none of the frames.
    public func wantsToSend(leg id: LegID, now: Instant) -> Bool {
        guard let position = find(id) else { return false }
        if isClosed { return legs[position].closeWanted }
        if legs[position].received.isDue(now) || legs[position].hasOwnFrames { return true }
        return id == active && hasData && legs[position].maySendData(now)
    }

    /// Fills `payload`, whose size must be the leg's `payloadSize`, with frames and padding; false if no packet may be
    /// sent now.
    ///
    /// If false, `packetNumber` is unused and `payload` may have been overwritten. The number must be above all earlier
    /// ones of the leg.
    public mutating func writePacket(
        leg id: LegID, packetNumber: UInt64, into payload: inout MutableRawSpan, now: Instant
    ) -> Bool {
        clock = max(clock, now)
        guard let position = find(id) else { return false }
        precondition(payload.byteCount == legs[position].payloadSize, "packets of a leg have one size")
        precondition(packetNumber >= legs[position].sent.nextNumber, "packet numbers increase")
        var writer = FrameWriter(size: payload.byteCount)
        if isClosed {
            guard legs[position].closeWanted, let closeCode else { return false }
            legs[position].closeWanted = false
            writer.u8(FrameType.connectionClose, into: &payload)
            writer.varint(min(closeCode, 1 << 62 - 1), into: &payload)
            writer.pad(&payload)
            return true
        }
        let firstFrame = legs[position].sent.nextFrame
        if !legs[position].everAcknowledged, !legs[position].preamble.isEmpty {
            let preamble = legs[position].preamble
            unsafe writer.raw(preamble.span.bytes, into: &payload)
        }
        let start = writer.offset
        let mayCarry = id == active && hasData && legs[position].maySendData(now)
        let isProbe = legs[position].probes > 0
        let hasOwn = legs[position].hasOwnFrames
        if legs[position].received.hasNews,
            legs[position].received.isDue(now) || mayCarry || hasOwn || isProbe
        {
            writeAck(position, &writer, &payload, now: now)
        }
        let afterAck = writer.offset
        if hasOwn { writeOwnFrames(position, &writer, &payload) }
        if mayCarry { writeSharedFrames(position, &writer, &payload) }
        if isProbe {
            if writer.offset == afterAck { writer.u8(FrameType.ping, into: &payload) }
            legs[position].probes -= 1
        }
        guard writer.offset > start else {
            return false
        }
        // The preamble does not count here: a packet of preamble and ACK alone is not in flight, though the peer
        // acknowledges it.
        let isEliciting = writer.offset > afterAck
        writer.pad(&payload)
        let hasMore = id == active && (hasStreamData || !datagrams.isEmpty)
        if !hasMore, legs[position].hasWindow, isEliciting {
            legs[position].appLimitedUntil = max(
                legs[position].delivered + UInt64(legs[position].inFlight + legs[position].payloadSize), 1)
        }
        legs[position].log(
            number: packetNumber, isEliciting: isEliciting, firstFrame: firstFrame, now: now)
        return true
    }

    private mutating func writeAck(
        _ position: Int, _ writer: inout FrameWriter, _ payload: inout MutableRawSpan, now: Instant
    ) {
        guard let largest = legs[position].received.largest else { return }
        let runs = legs[position].received.runs
        let waited = max((now - legs[position].received.largestTime).nanoseconds, 0) / 1_000
        writer.u8(FrameType.ack, into: &payload)
        writer.u8(legs[position].id.value, into: &payload)
        writer.varint(largest, into: &payload)
        writer.varint(UInt64(waited), into: &payload)
        // An ACK must leave room for other frames; one range takes at most 16 bytes.
        let most = min(runs.count, max(1, (writer.room - 64) / 16))
        writer.varint(UInt64(most - 1), into: &payload)
        writer.varint(runs[0].high - runs[0].low, into: &payload)
        for index in 1..<max(most, 1) {
            writer.varint(runs[index - 1].low - runs[index].high - 2, into: &payload)
            writer.varint(runs[index].high - runs[index].low, into: &payload)
        }
        legs[position].received.acknowledgementSent(now: now)
        legs[position].sent.append(frame: SentFrame(.ack, value: largest))
    }

    private mutating func writeOwnFrames(
        _ position: Int, _ writer: inout FrameWriter, _ payload: inout MutableRawSpan
    ) {
        while !legs[position].responses.isEmpty, writer.room >= 9 {
            writer.u8(FrameType.pathResponse, into: &payload)
            writer.u64(legs[position].responses.removeFirst(), into: &payload)
        }
        if let data = legs[position].challengeWanted, writer.room >= 9 {
            writer.u8(FrameType.pathChallenge, into: &payload)
            writer.u64(data, into: &payload)
            legs[position].challengeWanted = nil
        }
        if legs[position].pingWanted, writer.room >= 1 {
            writer.u8(FrameType.ping, into: &payload)
            legs[position].pingWanted = false
        }
    }

    private mutating func writeSharedFrames(
        _ position: Int, _ writer: inout FrameWriter, _ payload: inout MutableRawSpan
    ) {
        if activeFrameWanted, let active, writer.room >= 16 {
            activeFrameWanted = false
            writer.u8(FrameType.legActive, into: &payload)
            writer.u8(active.value, into: &payload)
            writer.varint(activeSequence, into: &payload)
            legs[position].sent.append(frame: SentFrame(.legActive, value: activeSequence))
        }
        while let closed = legCloses.last, writer.room >= 16 {
            legCloses.removeLast()
            writer.u8(FrameType.legClose, into: &payload)
            writer.u8(closed.value, into: &payload)
            legs[position].sent.append(frame: SentFrame(.legClose, value: UInt64(closed.value)))
        }
        if maxDataWanted, writer.room >= 16 {
            maxDataWanted = false
            writer.u8(FrameType.maxData, into: &payload)
            writer.varint(receiveLimit, into: &payload)
            legs[position].sent.append(frame: SentFrame(.maxData, value: receiveLimit))
        }
        if maxStreamsWanted, writer.room >= 16 {
            maxStreamsWanted = false
            writer.u8(FrameType.maxStreams, into: &payload)
            writer.varint(peerStreamLimit, into: &payload)
            legs[position].sent.append(frame: SentFrame(.maxStreams, value: peerStreamLimit))
        }
        while writer.room >= 64, let ref = controlQueue.popFirst() {
            guard let slot = slot(ref) else { continue }
            streams[slot].isInControlQueue = false
            writeControl(position, slot, &writer, &payload)
        }
        if datagramsFirst {
            writeDatagrams(&writer, &payload)
            writeStreams(position, &writer, &payload)
        } else {
            writeStreams(position, &writer, &payload)
            writeDatagrams(&writer, &payload)
        }
        datagramsFirst.toggle()
    }

    private mutating func writeControl(
        _ position: Int, _ slot: Int, _ writer: inout FrameWriter, _ payload: inout MutableRawSpan
    ) {
        let control = streams[slot].control
        let id = streams[slot].id
        let ref = StreamRef(slot: UInt32(slot), generation: streams[slot].generation)
        streams[slot].control = []
        if control.contains(.maxStreamData) {
            let limit = streams[slot].receive.limit
            writer.u8(FrameType.maxStreamData, into: &payload)
            writer.varint(id, into: &payload)
            writer.varint(limit, into: &payload)
            legs[position].sent.append(frame: SentFrame(.maxStreamData, stream: ref, value: limit))
        }
        if control.contains(.reset), streams[slot].send.phase == .reset {
            writer.u8(FrameType.resetStream, into: &payload)
            writer.varint(id, into: &payload)
            writer.varint(streams[slot].send.resetCode, into: &payload)
            writer.varint(streams[slot].send.next, into: &payload)
            legs[position].sent.append(frame: SentFrame(.reset, stream: ref))
        }
        if control.contains(.stopSending) {
            writer.u8(FrameType.stopSending, into: &payload)
            writer.varint(id, into: &payload)
            writer.varint(streams[slot].stopCode, into: &payload)
            legs[position].sent.append(frame: SentFrame(.stopSending, stream: ref))
        }
    }

    /// The part of the connection's credit that is kept for streams that have sent less than `littleSent`.
    private static let kept: UInt64 = 64 << 10
    private static let littleSent: UInt64 = 64 << 10

    /// Whether the credit allows a waiting stream to send.
    private var mayWake: Bool { !blockedQueue.isEmpty && sendLimit > sentData }
    private var mayWakeLong: Bool { !blockedLongQueue.isEmpty && sendLimit - sentData > Self.kept }

    /// Queues the first stream that waits for the connection's credit and has data to send, if there is credit.
    ///
    /// One stream is queued for each that has had its turn. So credit that arrives in small pieces costs one step each,
    /// however many streams wait.
    private mutating func wakeOne() {
        while mayWake || mayWakeLong {
            let isLong = mayWakeLong && (wakesLong || !mayWake)
            wakesLong = !isLong
            guard let ref = isLong ? blockedLongQueue.popFirst() : blockedQueue.popFirst() else { return }
            guard let slot = slot(ref) else { continue }
            streams[slot].isBlocked = false
            if streams[slot].send.canSend { return queueToSend(slot) }
        }
    }

    /// Fills the packet with stream data, one frame for each stream; a stream whose turn is over goes to the end of the
    /// queue.
    private mutating func writeStreams(
        _ position: Int, _ writer: inout FrameWriter, _ payload: inout MutableRawSpan
    ) {
        while writer.room >= 24 {
            if sendQueue.isEmpty { wakeOne() }
            guard let (ref, isShort) = nextToSend() else { break }
            guard let slot = slot(ref) else { continue }
            streams[slot].isInSendQueue = false
            let id = streams[slot].id
            var credit = sendLimit - sentData
            // The last part of the credit is for streams that have sent little, so requests still pass when other
            // streams are unread.
            let hasSentMuch = streams[slot].send.next >= Self.littleSent
            if hasSentMuch { credit -= min(credit, Self.kept) }
            let head = FrameWriter.streamHeadSize(stream: id, offset: streams[slot].send.nextOffset)
            let room = writer.room - head
            guard let run = streams[slot].send.nextRun(room: room, credit: credit) else {
                if streams[slot].send.hasNew, !streams[slot].isBlocked {
                    // It waits for the connection's credit, not for its own; lost data may queue it again.
                    streams[slot].isBlocked = true
                    if hasSentMuch { blockedLongQueue.append(ref) } else { blockedQueue.append(ref) }
                }
                continue
            }
            var count = run.count
            var fin = run.fin
            var length: Int?
            if count < room {
                let size = FrameWriter.size(UInt64(count))
                if count > room - size {
                    count = room - size
                    fin = false
                }
                length = count
            }
            writer.streamHead(stream: id, offset: run.offset, length: length, fin: fin, into: &payload)
            streams[slot].send.copy(offset: run.offset, count: count, into: &payload, at: writer.offset)
            writer.advance(count)
            streams[slot].send.sent(offset: run.offset, count: count, isNew: run.isNew, fin: fin)
            if run.isNew { sentData += UInt64(count) }
            legs[position].sent.append(
                frame: SentFrame(fin ? .streamFin : .stream, stream: ref, value: run.offset, count: count))
            shortLead = isShort ? shortLead + count : max(shortLead - count, -Self.quantum)
            streams[slot].quantumLeft -= count
            let goesOn = streams[slot].send.canSend
            if goesOn, streams[slot].quantumLeft > 0 {
                queueToSend(slot, as: .first)
            } else {
                wakeOne()
                if goesOn { queueToSend(slot) }
            }
        }
    }

    private mutating func writeDatagrams(_ writer: inout FrameWriter, _ payload: inout MutableRawSpan) {
        while let first = datagrams.first {
            let left = first.length - datagrams.sentOfFirst
            let head = 1 + FrameWriter.size(first.flow)
            if datagrams.sentOfFirst == 0 {
                let size = head + FrameWriter.size(UInt64(left)) + left
                if size <= writer.room {
                    writer.u8(FrameType.datagram, into: &payload)
                    writer.varint(first.flow, into: &payload)
                    writer.varint(UInt64(left), into: &payload)
                    datagrams.take(left, into: &payload, at: writer.offset, pool: &pool)
                    writer.advance(left)
                    continue
                }
                // A datagram that fits into a packet of its own is not split to fill this one.
                if size <= writer.size - 64, writer.offset > 64 { return }
            }
            let fields =
                head + FrameWriter.size(datagrams.message) + FrameWriter.size(UInt64(first.length))
                + FrameWriter.size(UInt64(datagrams.sentOfFirst)) + 2
            let count = min(left, writer.room - fields)
            guard count >= min(left, 128) else { return }
            writer.u8(FrameType.datagramFragment, into: &payload)
            writer.varint(first.flow, into: &payload)
            writer.varint(datagrams.message, into: &payload)
            writer.varint(UInt64(first.length), into: &payload)
            writer.varint(UInt64(datagrams.sentOfFirst), into: &payload)
            writer.varint(UInt64(count), into: &payload)
            datagrams.take(count, into: &payload, at: writer.offset, pool: &pool)
            writer.advance(count)
        }
    }
}
