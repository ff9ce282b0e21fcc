internal import BasicContainers

extension Connection {
    /// The next event, or nil.
    ///
    /// Events are bounded: at most a few for each stream and leg, datagrams up to their budget.
    public mutating func nextEvent() -> ConnectionEvent? {
        if let event = legEvent() { return event }
        if !roomQueue.isEmpty { shareRoom() }
        while !eventQueue.isEmpty {
            let ref = eventQueue[eventQueue.head]
            if let slot = slot(ref), let event = streamEvent(slot) { return event }
            _ = eventQueue.popFirst()
        }
        if arrivedHead < arrived.count { return datagramEvent() }
        if tellStreams {
            tellStreams = false
            return .streamsAvailable
        }
        if let code = closedEvent {
            closedEvent = nil
            return .closed(code: code)
        }
        return nil
    }

    private mutating func legEvent() -> ConnectionEvent? {
        var position = 0
        while position < legs.count {
            let id = legs[position].id
            if legs[position].tellValidated {
                legs[position].tellValidated = false
                return .legValidated(id)
            }
            if legs[position].tellSuspect {
                legs[position].tellSuspect = false
                return .legSuspect(id)
            }
            if legs[position].tellActivated {
                legs[position].tellActivated = false
                return .legActivated(id)
            }
            position += 1
        }
        if !pathEvents.isEmpty { return pathEvents.removeFirst() }
        return closedLegEvents.popLast().map { .legClosed($0) }
    }

    /// The first event of a stream that is due; nil when it has none left and leaves the queue.
    private mutating func streamEvent(_ slot: Int) -> ConnectionEvent? {
        let id = StreamID(streams[slot].id)
        let signals = streams[slot].signals
        if signals.contains(.opened) {
            streams[slot].signals.remove(.opened)
            return .streamOpened(id)
        }
        if signals.contains(.readable) {
            streams[slot].signals.remove(.readable)
            return .readable(id)
        }
        if signals.contains(.writable) {
            streams[slot].signals.remove(.writable)
            return .writable(id)
        }
        if signals.contains(.finished) {
            streams[slot].signals.remove(.finished)
            return .finished(id)
        }
        if signals.contains(.reset) {
            streams[slot].signals.remove(.reset)
            return .reset(id, code: streams[slot].receive.endCode ?? 0)
        }
        if signals.contains(.stopSending) {
            streams[slot].signals.remove(.stopSending)
            return .stopSending(id, code: streams[slot].peerStopCode)
        }
        if signals.contains(.closed) {
            forget(slot)
            return .streamClosed(id)
        }
        streams[slot].isInEventQueue = false
        return nil
    }

    private mutating func datagramEvent() -> ConnectionEvent {
        let next = arrived[arrivedHead]
        arrived[arrivedHead].bytes = []
        arrivedHead += 1
        arrivedBytes -= next.bytes.count + 48
        if arrivedHead == arrived.count {
            arrived.removeAll(keepingCapacity: true)
            arrivedHead = 0
        }
        return .datagram(flow: next.flow, next.bytes)
    }
}
