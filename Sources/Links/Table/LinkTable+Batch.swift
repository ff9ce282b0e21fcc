internal import EventLoop
internal import Link
internal import Wire

/// The packets of a received batch, sorted by receiver.
@safe struct SortedBatch: ~Copyable {
    /// Data packets of paths that this node forwards or ends.
    var relay: ReceivedPackets
    /// Data packets of this client's paths.
    var client: ReceivedPackets
    /// Packets of control connections.
    var control: ReceivedPackets
    /// Numbers of handshake messages in the batch.
    var handshakes: [Int] = []
    /// Numbers of packets for another worker.
    var misrouted: [Int] = []

    /// The bit of a path id that marks a client's own paths (protocol.md, section 4).
    private static let clientBit: UInt64 = 1 << 55

    /// Empty, for packets of `packetSize` bytes.
    init(packetSize: Int) {
        relay = ReceivedPackets(packetSize: packetSize)
        client = ReceivedPackets(packetSize: packetSize)
        control = ReceivedPackets(packetSize: packetSize)
        handshakes.reserveCapacity(ReceivedPackets.capacity)
    }

    /// Adds a packet to the group of its path id; false if the group is full.
    @inline(__always)
    mutating func take(_ arrival: Arrival) -> Bool {
        if arrival.pathID == 0 { return control.append(arrival) }
        if arrival.pathID & Self.clientBit != 0 { return client.append(arrival) }
        return relay.append(arrival)
    }

    /// Whether there are handshake messages or packets for another worker.
    var hasSlowPath: Bool { !handshakes.isEmpty || !misrouted.isEmpty }

    mutating func removeAll() {
        relay.removeAll()
        client.removeAll()
        control.removeAll()
        guard hasSlowPath else { return }
        handshakes.removeAll(keepingCapacity: true)
        misrouted.removeAll(keepingCapacity: true)
    }
}

extension LinkTable {
    /// Opens the header of each packet of a batch and sorts the packets by receiver.
    ///
    /// The packets of a run are mostly of one link, which is looked up once.
    mutating func sort(_ batch: inout ReceivedBatch, into sorted: inout SortedBatch) {
        beginBatch()
        var position = 0
        while position < batch.count {
            guard batch.length(of: position) == packetSize else {
                counters.drops.count(.wrongSize)
                position += 1
                continue
            }
            let index = batch.packet(position).receiverIndex
            if index < Packet.firstReceiverIndex {
                sorted.handshakes.append(position)
                position += 1
            } else if let place = indices.find(index), let link = self.link(at: Int(place)) {
                position = openHeaders(of: link, index, from: position, &batch, into: &sorted)
            } else if workers > 1, index >> 24 != worker, index >> 24 < workers {
                sorted.misrouted.append(position)
                position += 1
            } else {
                counters.drops.count(.unknownIndex)
                position += 1
            }
        }
    }

    /// Opens the headers of the packets from `start` on that belong to the same run and have the receiver index `index`
    /// of `link`; returns the position after them.
    private mutating func openHeaders(
        of link: LinkID, _ index: UInt32, from start: Int, _ batch: inout ReceivedBatch, into sorted: inout SortedBatch
    ) -> Int {
        let entry = unsafe entry(link)
        let receiver = unsafe indexedReceiver(of: link)
        let end = batch.end(ofRunFrom: start)
        // All packets of a run came from one address.
        let isFromNewAddress = unsafe entry.pointee.mayMove && entry.pointee.sending.address != batch.source(of: start)
        var opened: UInt64 = 0
        var position = start
        repeat {
            var packet = batch.packet(position)
            guard packet.receiverIndex == index else { break }
            let counter = packet.linkCounter
            if let reason = unsafe receiver.pointee.openHeader(&packet) {
                counters.drops.count(reason)
            } else {
                opened &+= 1
                let arrival = unsafe Arrival(
                    link: link, index: index, pathID: packet.pathID, counter: counter,
                    bytes: batch.address(of: position), position: position, isFromNewAddress: isFromNewAddress)
                if !sorted.take(arrival) { counters.drops.count(.notSendable) }
            }
            position += 1
        } while position < end
        counters.packetsReceived &+= opened
        return position
    }

    /// Opens a control packet's payload and commits its windows; returns its packet number, or nil if it was dropped.
    mutating func openControl(_ arrival: Arrival, _ packet: inout MutableRawSpan) -> UInt64? {
        guard let receiver = unsafe receiver(of: arrival.link) else { return nil }
        switch unsafe receiver.pointee.openControl(&packet) {
        case .drop(let reason):
            counters.drops.count(reason)
            return nil
        case .opened(let number):
            guard unsafe receiver.pointee.commitControl(packetNumber: number), commit(arrival) else {
                counters.drops.count(.replayedControl)
                return nil
            }
            counters.controlReceived &+= 1
            return number
        }
    }

    /// Makes and sends a control packet: `fill` writes the payload for the given packet number, and `keyring` seals it.
    ///
    /// It goes to the link's peer, or to `address` if given. Returns whether a packet was sent.
    mutating func sendControl(
        on link: LinkID, to address: SocketAddress? = nil, sealing keyring: inout LinkKeyring, skipping: UInt64,
        _ fill: (inout MutableRawSpan, UInt64) -> (isFilled: Bool, wantsAnswer: Bool)
    ) -> Bool {
        guard isLive(link) else { return false }
        let entry = unsafe entry(link)
        let target = unsafe address ?? entry.pointee.sending.address
        guard let socket = socket(for: target), var slot = socket.sendSlot(size: packetSize) else {
            counters.drops.count(.notSendable)
            return false
        }
        keyring.skipControlNumbers(skipping)
        let number = keyring.nextControlNumber
        var packet = slot.bytes
        var payload = packet._mutatingExtracting(Packet.payloadOffset..<packetSize)
        let result = fill(&payload, number)
        guard result.isFilled else { return false }
        keyring.sealControl(&packet, for: unsafe entry.pointee.sending.sender.sendKey)
        guard unsafe entry.pointee.sending.sender.sealHeader(&packet) else {
            counters.drops.count(.notSendable)
            return false
        }
        if result.wantsAnswer {
            unsafe entry.pointee.liveness.sent(now: now)
            earliestTick = unsafe min(earliestTick, entry.pointee.liveness.nextDeadline)
        }
        counters.packetsSent &+= 1
        counters.controlSent &+= 1
        slot.commit(to: target)
        return true
    }

    /// Frees the receiver indices of an own link whose keys are gone, and returns them.
    @discardableResult
    mutating func freeRetired(_ link: LinkID) -> [UInt32] {
        guard let receiver = unsafe receiver(of: link) else { return [] }
        let retired = unsafe receiver.pointee.takeRetired()
        for index in retired { indices.free(index) }
        return retired
    }
}
