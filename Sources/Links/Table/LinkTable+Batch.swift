internal import EventLoop
internal import Link
internal import Wire

/// What a received batch was sorted into.
@safe struct SortedBatch: ~Copyable {
    /// Data packets of paths that this node forwards or ends.
    var relay = ReceivedPackets()
    /// Data packets of this client's paths.
    var client = ReceivedPackets()
    /// Packets of control connections.
    var control = ReceivedPackets()
    /// Numbers of handshake messages in the batch.
    var handshakes: [Int] = []
    /// Authentic packets that did not come from their link's address.
    var strangers: [(link: LinkID, position: Int)] = []

    init() {
        handshakes.reserveCapacity(ReceivedPackets.capacity)
        strangers.reserveCapacity(64)
    }

    /// Remembers an authentic packet from another address than its link's, as far as there is room.
    @inline(never)
    mutating func note(stranger link: LinkID, at position: Int) {
        if strangers.count < 64 { strangers.append((link, position)) }
    }

    /// Whether there are handshake messages or strangers.
    var hasRarer: Bool { !handshakes.isEmpty || !strangers.isEmpty }

    mutating func removeAll() {
        relay.removeAll()
        client.removeAll()
        control.removeAll()
        guard hasRarer else { return }
        handshakes.removeAll(keepingCapacity: true)
        strangers.removeAll(keepingCapacity: true)
    }
}

extension LinkTable {
    /// The bit of a path id that sets a client's own paths apart (protocol.md, section 4).
    private static let clientBit: UInt64 = 1 << 55

    /// Opens the header of each packet of a batch and sorts the packets by who takes them.
    mutating func sort(_ batch: inout ReceivedBatch, into sorted: inout SortedBatch) {
        for position in 0..<batch.count {
            var packet = batch.packet(position)
            guard packet.byteCount == packetSize else {
                counters.drops.count(.wrongSize)
                continue
            }
            let index = packet.receiverIndex
            if index < Packet.firstReceiverIndex {
                sorted.handshakes.append(position)
                continue
            }
            guard let place = indices.find(index), let (link, entry) = unsafe liveEntry(at: place) else {
                counters.drops.count(.unknownIndex)
                continue
            }
            let counter = packet.linkCounter
            if let reason = unsafe entry.pointee.keyring.openHeader(&packet) {
                counters.drops.count(reason)
                continue
            }
            let pathID = packet.pathID
            counters.packetsReceived &+= 1
            unsafe entry.pointee.liveness.received(now: now)
            if unsafe entry.pointee.mayMove, unsafe entry.pointee.address != batch.source(of: position) {
                sorted.note(stranger: link, at: position)
            }
            let arrival = Arrival(
                link: link, pathID: pathID, index: index, counter: counter,
                position: Int32(truncatingIfNeeded: position))
            let memory = unsafe batch.bytes(of: position)
            let hasRoom =
                if arrival.pathID == 0 {
                    unsafe sorted.control.append(arrival, memory)
                } else if arrival.pathID & Self.clientBit != 0 {
                    unsafe sorted.client.append(arrival, memory)
                } else {
                    unsafe sorted.relay.append(arrival, memory)
                }
            if !hasRoom { counters.drops.count(.notSendable) }
        }
    }

    /// Opens a control packet's payload and commits its windows; returns its packet number, or nil when it was dropped.
    mutating func openControl(_ arrival: Arrival, _ packet: inout MutableRawSpan) -> UInt64? {
        guard isLive(arrival.link) else { return nil }
        let entry = unsafe entry(arrival.link)
        switch unsafe entry.pointee.keyring.openControl(&packet) {
        case .drop(let reason):
            counters.drops.count(reason)
            return nil
        case .opened(let number):
            guard unsafe entry.pointee.keyring.commitControl(packetNumber: number), commit(arrival) else {
                counters.drops.count(.replayedControl)
                return nil
            }
            counters.controlReceived &+= 1
            return number
        }
    }

    /// Makes and sends a control packet: `fill` writes the payload for the packet number given.
    ///
    /// It goes to the link's peer, or to `address` if that is said. Returns whether a packet was sent.
    mutating func sendControl(
        on link: LinkID, to address: SocketAddress? = nil, skipping: UInt64,
        _ fill: (inout MutableRawSpan, UInt64) -> (isFilled: Bool, wantsAnswer: Bool)
    ) -> Bool {
        guard isLive(link) else { return false }
        let entry = unsafe entry(link)
        let target = unsafe address ?? entry.pointee.address
        guard let socket = socket(for: target), var slot = socket.sendSlot(size: packetSize) else {
            counters.drops.count(.notSendable)
            return false
        }
        unsafe entry.pointee.keyring.skipControlNumbers(skipping)
        let number = unsafe entry.pointee.keyring.nextControlNumber
        var packet = slot.bytes
        var payload = packet._mutatingExtracting(Packet.payloadOffset..<packetSize)
        let result = fill(&payload, number)
        guard result.isFilled else { return false }
        unsafe entry.pointee.keyring.sealControl(&packet)
        if result.wantsAnswer {
            unsafe entry.pointee.liveness.sent(now: now)
            earliestTick = unsafe min(earliestTick, entry.pointee.liveness.nextDeadline)
        }
        counters.packetsSent &+= 1
        counters.controlSent &+= 1
        slot.commit(to: target)
        return true
    }

    /// Frees the receiver indices whose keys are gone.
    mutating func freeRetired(_ link: LinkID) {
        guard isLive(link) else { return }
        for index in unsafe entry(link).pointee.keyring.takeRetired() { indices.free(index) }
    }
}
