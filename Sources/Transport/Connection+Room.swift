internal import BasicContainers
internal import Wire

/// What streams may hold to be sent, and which of those that wait for room gets it next.
///
/// All streams together hold no more than keeps the path full. When that is taken, those that want more wait in line, and each is
/// promised a whole turn when there is room for one: so a few have much to send, one after the other, in place of all having
/// little at once.
extension Connection {
    /// What a stream that sends little at a time may hold whatever others do: a request or an answer to one.
    static let ownBuffer = 4 << 10
    private static let leastSendBudget = 512 << 10

    /// What may be in flight.
    private var window: Int {
        guard let active, let position = find(active) else { return 0 }
        return legs[position].congestion.window
    }

    /// What all streams together may hold now: what is in flight, and as much again to follow it.
    ///
    /// More would only fall out of the processor's cache.
    var sendBudget: Int { min(configuration.maxSendBuffer, max(Self.leastSendBudget, window * 2)) }

    /// What one stream may hold now, whatever others do: as its ring, a power of two.
    private var sendBuffer: Int {
        let most = max(configuration.maxStreamSendBuffer, InitialLimits.streamData)
        let wanted = min(max(window * 2, InitialLimits.streamData), most)
        return 1 << (Int.bitWidth - 1 - wanted.leadingZeroBitCount)
    }

    /// What a stream might take if there were no others: within its buffer and the peer's credit for it.
    ///
    /// Nothing waits here that could not be sent, so that streams whose peers do not read leave room to the others.
    private func ownRoom(_ slot: Int) -> Int {
        min(sendBuffer - streams[slot].send.held, streams[slot].send.limitAhead)
    }

    /// What no stream has taken or was promised.
    private var freeRoom: Int { sendBudget - heldToSend - promisedRoom }

    /// What a stream may take now.
    func room(_ slot: Int) -> Int {
        guard streams[slot].send.isOpen, !isClosed else { return 0 }
        let promise = streams[slot].promisedRoom
        let shared = promise > 0 ? promise : roomQueue.isEmpty ? freeRoom : 0
        let little = streams[slot].isBulk ? 0 : Self.ownBuffer - streams[slot].send.held
        return max(0, min(ownRoom(slot), shared), little)
    }

    /// Has a stream wait until it may take `count` bytes: for its own limits, or in line with others.
    ///
    /// On a closed connection none waits: what it was promised it could not take, and it would be promised that for ever.
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

    /// Tells a stream that waited for its own limits, if they leave it enough again.
    mutating func offerOwnRoom(_ slot: Int) {
        let held = streams[slot].send.held
        let room = max(ownRoom(slot), Self.ownBuffer - held)
        guard room >= (held == 0 ? 1 : min(16 << 10, sendBuffer / 4)) else { return }
        streams[slot].wantsRoom = false
        signal(slot, .writable)
    }

    /// Promises what has become free to those that wait in line.
    mutating func shareRoom() {
        while !roomQueue.isEmpty {
            let free = freeRoom
            guard free >= max(Self.turn, sendBudget / 32), let ref = roomQueue.popFirst() else { return }
            guard let slot = slot(ref), streams[slot].isInRoomQueue else { continue }
            streams[slot].isInRoomQueue = false
            guard streams[slot].send.isOpen else { continue }
            let promise = max(Self.turn, free / (roomQueue.count + 1))
            streams[slot].promisedRoom = promise
            promisedRoom += promise
            signal(slot, .writable)
        }
    }

    /// Takes back what a stream was promised, once it has written or will not.
    mutating func releasePromise(_ slot: Int) {
        promisedRoom -= streams[slot].promisedRoom
        streams[slot].promisedRoom = 0
    }
}
