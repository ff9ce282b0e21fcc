internal import EventLoop
internal import Link
internal import Messages
internal import OnionCrypto
internal import Wire

/// A received batch, from the socket to the handlers.
extension Links {
    func received(_ batch: inout ReceivedBatch, isHandedOn: Bool = false) {
        guard !isClosing else { return }
        if Self.takeData(&batch, &table, &sorted, now, relay, client) {
            noteCommits()
            for number in 0..<sorted.control.count { takeControl(number, &batch) }
            if !table.newAddresses.isEmpty { noteNewAddresses(&batch) }
            for number in 0..<sorted.handshakes.count { takeHandshake(sorted.handshakes[number], &batch) }
            if !sorted.misrouted.isEmpty { handOnMisrouted(&batch, isHandedOn: isHandedOn) }
        }
        if !maySend { sockets.isReceivePaused = true }
        armSweep()
    }

    /// Sorts a batch and hands its data packets to the handlers; true if the batch has anything else to process.
    ///
    /// One access to the table for all of it, for each costs as much as a packet.
    static func takeData(
        _ batch: inout ReceivedBatch, _ table: inout LinkTable, _ sorted: inout SortedBatch, _ now: Instant,
        _ relay: (any PacketHandler)?, _ client: (any PacketHandler)?
    ) -> Bool {
        table.now = now
        sorted.removeAll()
        table.sort(&batch, into: &sorted)
        if sorted.relay.count > 0 { hand(&sorted.relay, to: relay, &table) }
        if sorted.client.count > 0 { hand(&sorted.client, to: client, &table) }
        return sorted.control.count > 0 || sorted.hasSlowPath || table.hasCommits || !table.newAddresses.isEmpty
    }

    private static func hand(
        _ packets: inout ReceivedPackets, to handler: (any PacketHandler)?, _ table: inout LinkTable
    ) {
        guard let handler else {
            for _ in 0..<packets.count { table.drop(.unknownPath) }
            return
        }
        handler.receive(&packets, table: &table)
    }

    /// Handles the commits that confirmed a link or switched its keys.
    func noteCommits() {
        while let link = table.confirmed.popLast() { confirmed(link) }
        while let id = table.switched.popLast() {
            table.freeRetired(id)
            switched(id)
        }
    }

    /// The peer of a link has begun to use the keys that waited.
    func switched(_ id: LinkID) {
        table.counters.rekeys += 1
        guard let link = find(id) else { return }
        link.keyring.switched()
        follow(orders.use(id, link.keyring.sendKey))
    }

    /// The link with this id; nil if it is gone.
    func find(_ id: LinkID) -> ControlLink? { list.find(id) }

    private func takeControl(_ number: Int, _ batch: inout ReceivedBatch) {
        let arrival = sorted.control[number]
        guard let link = find(arrival.link) else { return }
        let position = arrival.position
        let source = batch.source(of: position)
        var packet = batch.packet(position)
        guard let packetNumber = table.openControl(arrival, &packet) else { return }
        noteCommits()
        guard !link.isGone else { return }
        let payload = packet.bytes.extracting(Packet.payloadOffset..<table.packetSize)
        link.exchange.receive(packetNumber: packetNumber, payload, now: table.now)
        perform(link, from: source)
        markDirty(link)
    }

    // MARK: Mobility

    /// Challenges the new addresses from which authentic packets of clients came.
    private func noteNewAddresses(_ batch: inout ReceivedBatch) {
        for (id, position) in table.newAddresses {
            // An earlier packet of the batch may have moved the link to this address.
            if let link = find(id) { challenge(link, at: batch.source(of: position)) }
        }
    }

    /// Challenges a new address from which an authentic packet of a client came.
    func challenge(_ link: ControlLink, at source: SocketAddress) {
        guard link.isOpen, link.isUp else { return }
        let challenge = link.address.received(
            from: Endpoint(source), byteCount: table.packetSize, random: SecureRandom.u64(), now: table.now)
        guard let challenge else { return }
        link.exchange.challenge(challenge)
        if sendControlPacket(link, to: source) {
            link.address.challengeSent(byteCount: table.packetSize, now: table.now)
        }
    }

    /// The peer has echoed a challenge, in a packet from `source`.
    func challengeAnswered(_ link: ControlLink, _ data: UInt64, from source: SocketAddress) {
        let endpoint = Endpoint(source)
        guard link.address.answered(data, from: endpoint), table.isLive(link.id) else { return }
        orders.move(link.id, to: source)
        list.move(link.id, to: AddressShare(endpoint.address))
        table.counters.moves += 1
    }
}
