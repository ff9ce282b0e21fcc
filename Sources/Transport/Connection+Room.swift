internal import BasicContainers
internal import Wire

/// The limits of data that streams hold for sending, and the order in which waiting streams get room.
///
/// All streams together may have only as much to send as keeps the path full. When that is used up, streams that want
/// more wait in the queue. Each is promised a whole quantum when there is room for one. So a few streams have much data
/// to send, one after the other; otherwise all would have little.
extension Connection {
    /// The bytes that a stream which sends little at a time may always hold: a request, or an answer to one.
    static let ownBuffer = 4 << 10
    private static let leastSendBudget = 512 << 10

    /// The bytes that may be in flight.
    private var window: Int {
        guard let active, let position = find(active) else { return 0 }
        return legs[position].congestion.window
    }

    /// The unsent and unacknowledged bytes of all streams together: one window in flight, and a second one to follow
    /// it.
    ///
    /// More would only fall out of the processor's cache.
    var sendBudget: Int { min(configuration.maxSendBuffer, max(Self.leastSendBudget, window * 2)) }

    /// The most bytes that one stream may hold, including those behind a hole.
    private var mostHeld: Int { max(configuration.maxStreamSendBuffer, InitialLimits.streamData) }

    /// The unsent and unacknowledged bytes that one stream may have now, whatever others have.
    ///
    /// Bytes acknowledged behind a hole do not count: a hole lasts for two round trips, and without more to send the
    /// path would run dry.
    private var sendBuffer: Int { min(max(window * 2, InitialLimits.streamData), mostHeld) }

    /// The bytes that a stream could take if there were no others: within its buffer and the peer's credit for it.
    ///
    /// Bytes that could not be sent are not taken, so streams whose peers do not read leave room for the others.
    private func ownRoom(_ slot: Int) -> Int {
        min(
            sendBuffer - streams[slot].send.pending, mostHeld - streams[slot].send.held, streams[slot].send.limitAhead)
    }

    /// The room that is neither taken by nor promised to a stream.
    private var freeRoom: Int {
        min(sendBudget - pendingToSend, configuration.maxSendBuffer - heldToSend) - promisedRoom
    }

    /// The bytes that a stream may take now.
    func room(_ slot: Int) -> Int {
        guard streams[slot].send.isOpen, !isClosed else { return 0 }
        let promise = streams[slot].promisedRoom
        let shared = promise > 0 ? promise : roomQueue.isEmpty ? freeRoom : 0
        let little = streams[slot].isBulk ? 0 : Self.ownBuffer - streams[slot].send.held
        return max(0, min(ownRoom(slot), shared), little)
    }

    /// Makes a stream wait until it may take `count` bytes, either for its own limits or in the queue with others.
    ///
    /// On a closed connection no stream waits: it could never use a promise and would keep it.
    mutating func wait(_ slot: Int, for count: Int) {
        releasePromise(slot)
        guard !isClosed else { return }
        if ownRoom(slot) < count {
            streams[slot].wantsRoom = true
        } else if !streams[slot].isInRoomQueue {
            streams[slot].isInRoomQueue = true
            roomQueue.append(StreamRef(slot: UInt32(slot), generation: streams[slot].generation))
        }
    }

    /// Tells a stream that waited for its own limits, once they allow enough.
    mutating func offerOwnRoom(_ slot: Int) {
        let held = streams[slot].send.held
        let room = max(ownRoom(slot), Self.ownBuffer - held)
        guard room >= (held == 0 ? 1 : min(16 << 10, sendBuffer / 4)) else { return }
        streams[slot].wantsRoom = false
        signal(slot, .writable)
    }

    /// Promises free room to the streams that wait in the queue.
    mutating func shareRoom() {
        while !roomQueue.isEmpty {
            let free = freeRoom
            guard free >= max(Self.quantum, sendBudget / 32), let ref = roomQueue.popFirst() else { return }
            guard let slot = slot(ref), streams[slot].isInRoomQueue else { continue }
            streams[slot].isInRoomQueue = false
            guard streams[slot].send.isOpen else { continue }
            let promise = max(Self.quantum, free / (roomQueue.count + 1))
            streams[slot].promisedRoom = promise
            promisedRoom += promise
            signal(slot, .writable)
        }
    }

    /// Takes back a stream's promise after it has written, or when it will not write.
    mutating func releasePromise(_ slot: Int) {
        promisedRoom -= streams[slot].promisedRoom
        streams[slot].promisedRoom = 0
    }
}
