internal import BasicContainers
internal import Wire

extension Connection {
    /// The slot that a reference names; nil if the stream is gone.
    func slot(_ ref: StreamRef) -> Int? {
        let slot = Int(ref.slot)
        return streams[slot].generation == ref.generation && streams[slot].isUsed ? slot : nil
    }

    private func ref(_ slot: Int) -> StreamRef {
        StreamRef(slot: UInt32(slot), generation: streams[slot].generation)
    }

    mutating func insertStream(_ id: UInt64) -> Int {
        let slot: Int
        if let free = freeSlots.popLast() {
            slot = free
            let generation = streams[slot].generation &+ 1
            streams[slot] = Stream(
                id: id, generation: generation, sendLimit: UInt64(InitialLimits.streamData),
                receiveWindow: UInt64(InitialLimits.streamData))
        } else {
            slot = streams.count
            streams.append(
                Stream(
                    id: id, generation: 0, sendLimit: UInt64(InitialLimits.streamData),
                    receiveWindow: UInt64(InitialLimits.streamData)))
        }
        index.insert(id, slot: slot)
        return slot
    }

    /// Queues a stream to send: after the others, before them, or among the short ones.
    mutating func queueToSend(_ slot: Int, as place: SendPlace = .last) {
        guard !streams[slot].isInSendQueue else { return }
        streams[slot].isInSendQueue = true
        switch place {
        case .first: sendQueue.prepend(ref(slot))
        case .short: shortQueue.append(ref(slot))
        case .last:
            streams[slot].quantumLeft = Self.quantum
            sendQueue.append(ref(slot))
        }
    }

    /// The stream whose turn it is: a short one, unless short ones have recently had more turns than the long ones.
    mutating func nextToSend() -> (stream: StreamRef, isShort: Bool)? {
        if sendQueue.isEmpty { shortLead = 0 }
        if shortLead <= 0, let ref = shortQueue.popFirst() { return (ref, true) }
        guard let ref = sendQueue.popFirst() else { return nil }
        return (ref, false)
    }

    /// The bytes that a stream sends before the next one is served: enough that the app at the other end gets them in
    /// few pieces, few enough that the other streams wait briefly.
    static let quantum = 32 << 10

    /// A write below this size, by a stream with no data in flight, is a short one.
    private static let shortWrite = 1 << 10

    mutating func queueControl(_ slot: Int, _ control: Stream.Control) {
        streams[slot].control.insert(control)
        guard !streams[slot].isInControlQueue else { return }
        streams[slot].isInControlQueue = true
        controlQueue.append(ref(slot))
    }

    mutating func signal(_ slot: Int, _ signal: Stream.Signals) {
        streams[slot].signals.insert(signal)
        guard !streams[slot].isInEventQueue else { return }
        streams[slot].isInEventQueue = true
        eventQueue.append(ref(slot))
    }

    /// Called after acknowledgements: reports room and the end of the half, and closes the stream.
    mutating func sendHalfChanged(_ slot: Int) {
        if streams[slot].wantsRoom { offerOwnRoom(slot) }
        closeIfDone(slot)
    }

    mutating func closeIfDone(_ slot: Int) {
        guard streams[slot].send.isDone else { return }
        if streams[slot].send.fin == .acknowledged, !streams[slot].isFinishTold {
            streams[slot].isFinishTold = true
            signal(slot, .finished)
        }
        if streams[slot].receive.isDone { signal(slot, .closed) }
    }

    /// Frees a stream after its last event.
    mutating func forget(_ slot: Int) {
        let id = streams[slot].id
        index.remove(id)
        heldToSend -= streams[slot].send.held
        pendingToSend -= streams[slot].send.pending
        releasePromise(slot)
        streams[slot].send.release(to: &pool)
        streams[slot].receive.release(to: &pool)
        streams[slot].isUsed = false
        freeSlots.append(slot)
        let isOwn = (id & 1 == 0) == (role == .initiator)
        guard !isOwn else { return }
        peerStreamsClosed += 1
        let limit = peerStreamsClosed + UInt64(max(configuration.maxPeerStreams, InitialLimits.streams))
        if limit >= peerStreamLimit + UInt64(max(configuration.maxPeerStreams / 8, 8)) {
            peerStreamLimit = limit
            maxStreamsWanted = true
        }
    }

    // MARK: For the application

    /// Opens a bidirectional stream; the peer learns of it with its first frame.
    public mutating func openStream() throws(StreamError) -> StreamID {
        guard !isClosed else { throw .connectionClosed }
        guard streamsAvailable > 0 else { throw .limitReached }
        let id = nextOwnStream
        nextOwnStream += 2
        ownStreamsOpened += 1
        _ = insertStream(id)
        return StreamID(id)
    }

    /// How many streams `openStream` would open now.
    public var streamsAvailable: Int { isClosed ? 0 : Int(min(ownStreamLimit - ownStreamsOpened, 1 << 30)) }

    /// How many streams exist, including those whose end the peer has not been told.
    public var openStreamCount: Int { index.count }

    /// Takes bytes for sending and returns how many; `.writable` follows when there is room for the rest.
    ///
    /// Returns 0 also if the stream is unknown, finished, reset or stopped, or the connection is closed.
    public mutating func write(_ id: StreamID, _ bytes: RawSpan) -> Int {
        guard let slot = index.find(id.value), streams[slot].send.isOpen else { return 0 }
        let count = min(bytes.byteCount, room(slot))
        releasePromise(slot)
        streams[slot].isBulk = bytes.byteCount >= Self.ownBuffer
        if count < bytes.byteCount { wait(slot, for: count + 1) }
        guard count > 0 else { return 0 }
        // A request, or an answer to one, need not wait for the turns of streams with much data.
        let isShort = count < Self.shortWrite && streams[slot].send.held == 0
        streams[slot].send.write(bytes.extracting(0..<count), pool: &pool)
        heldToSend += count
        pendingToSend += count
        if streams[slot].send.canSend { queueToSend(slot, as: isShort ? .short : .last) }
        return count
    }

    /// Whether our half accepts bytes, now or when there is room: it is not finished, reset or stopped.
    public func isSending(_ id: StreamID) -> Bool {
        guard let slot = index.find(id.value) else { return false }
        return streams[slot].send.isOpen
    }

    /// How many bytes `write` would take now.
    ///
    /// If these are fewer than `least`, returns 0, and `.writable` follows.
    public mutating func sendCapacity(_ id: StreamID, atLeast least: Int = 1) -> Int {
        guard let slot = index.find(id.value), streams[slot].send.isOpen else { return 0 }
        let count = room(slot)
        if count >= least { return count }
        wait(slot, for: least)
        return 0
    }

    /// Ends our half after the bytes written so far; has no effect the second time.
    public mutating func finish(_ id: StreamID) {
        guard let slot = index.find(id.value) else { return }
        releasePromise(slot)
        streams[slot].send.finish()
        if streams[slot].send.canSend { queueToSend(slot) }
    }

    /// Abandons our half: drops unacknowledged bytes and tells the peer.
    public mutating func reset(_ id: StreamID, code: UInt64) {
        guard let slot = index.find(id.value) else { return }
        let (held, pending) = (streams[slot].send.held, streams[slot].send.pending)
        guard streams[slot].send.reset(code: min(code, 1 << 62 - 1), pool: &pool) else { return }
        heldToSend -= held
        pendingToSend -= pending
        releasePromise(slot)
        queueControl(slot, .reset)
    }

    /// Tells the peer that its half is no longer read; held and coming bytes are dropped.
    public mutating func stopSending(_ id: StreamID, code: UInt64) {
        guard let slot = index.find(id.value), !streams[slot].receive.stopped else { return }
        guard streams[slot].receive.resetCode == nil else { return }
        streams[slot].receive.stop(pool: &pool)
        discard(slot)
        if streams[slot].receive.finalSize == .max {
            streams[slot].stopCode = min(code, 1 << 62 - 1)
            queueControl(slot, .stopSending)
        }
        closeIfDone(slot)
    }

    /// Passes the readable bytes to `body`, which returns how many it has consumed, and grants the peer credit for
    /// those.
    ///
    /// The bytes are the first in order and contiguous in memory. More may follow, so call it until it returns 0.
    /// Returns how many bytes were consumed.
    @discardableResult
    public mutating func withReadable(_ id: StreamID, _ body: (RawSpan) -> Int) -> Int {
        guard let slot = index.find(id.value) else { return 0 }
        let count = streams[slot].receive.read(pool: &pool, now: clock, body)
        if count > 0 {
            consumed(count)
            // While much is unread, windows do not grow.
            let mayGrow = receivedData - consumedData <= receiveCap / 2
            let cap = UInt64(mayGrow ? min(configuration.maxStreamWindow, configuration.maxConnectionWindow / 4) : 0)
            if streams[slot].receive.grant(now: clock, roundTrip: tuningRoundTrip, maxWindow: cap) {
                queueControl(slot, .maxStreamData)
            }
        }
        closeIfDone(slot)
        return count
    }

    /// How many bytes can be read now.
    public func readableCount(_ id: StreamID) -> Int {
        guard let slot = index.find(id.value) else { return 0 }
        return streams[slot].receive.readable
    }

    /// The state of the peer's half.
    public func readState(_ id: StreamID) -> ReadState {
        guard let slot = index.find(id.value) else { return .unknown }
        if let code = streams[slot].receive.endCode { return .reset(code) }
        return streams[slot].receive.isDone ? .finished : .open
    }

    /// How many of our bytes the peer has not acknowledged yet, unsent ones included.
    public func unacknowledgedCount(_ id: StreamID) -> Int {
        guard let slot = index.find(id.value) else { return 0 }
        return streams[slot].send.held
    }

    /// Whether no packet has carried bytes of our half or its end; false if the stream is unknown.
    public func isUnsent(_ id: StreamID) -> Bool {
        guard let slot = index.find(id.value) else { return false }
        return streams[slot].send.isUnsent
    }

    /// Queues a datagram of at most 65,507 bytes, split into fragments as needed.
    ///
    /// Returns false if it is too long, the queue is full, or the connection carries no datagrams. It is sent once, in
    /// the order of the calls, independently of stream data.
    public mutating func sendDatagram(flow: UInt64, _ bytes: RawSpan) -> Bool {
        guard configuration.takesDatagrams, !isClosed, bytes.byteCount <= DatagramFrame.maxTotal, flow < 1 << 62 else {
            return false
        }
        return datagrams.append(flow: flow, bytes, budget: configuration.maxDatagramQueue, pool: &pool)
    }
}
