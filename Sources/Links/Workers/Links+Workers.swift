public import EventLoop
internal import Link
internal import Messages
internal import Wire

/// What worker 0 does for links of other workers (docs/architecture/workers.md); without others nothing here is called.
extension Links {
    /// The worker to which a link's packets come; 0 if the link is gone.
    public func owner(of link: LinkID) -> UInt8 { find(link)?.owner ?? 0 }

    /// Whether all other workers have spoken lately.
    public var allWorkersRun: Bool { crew.allRun(now: now) }

    /// The worker for a new link with one of these addresses.
    func newOwner(at endpoints: [Endpoint]) -> UInt8 {
        guard crew.hasOthers else { return 0 }
        let counters = table.counters
        return crew.owner(
            at: endpoints, packets: counters.packetsReceived, control: counters.controlSent, now: now)
    }

    // MARK: Indices

    /// A fresh receiver index of `owner` for `place`; nil if there is none.
    func takeIndex(of owner: UInt8, for place: UInt32) -> UInt32? {
        owner == 0 ? table.indices.take(for: place) : crew.takeIndex(of: owner, for: place)
    }

    /// Frees a receiver index that no worker's table has.
    func freeIndex(_ index: UInt32) {
        if crew.owner(of: index) == 0 { table.indices.free(index) } else { crew.free(index) }
    }

    /// Whether an index is still reserved for a handshake.
    func isReserved(_ index: UInt32) -> Bool {
        let place = crew.owner(of: index) == 0 ? table.indices.find(index) : crew.find(index)
        return place == IndexTable.reserved
    }

    // MARK: What other workers tell

    /// Takes what another worker has told of a link.
    public func take(_ answer: LinkAnswer) {
        table.now = now
        follow(orders.answered(answer))
        armSweep()
    }

    /// Takes what another worker tells every 50 ms.
    public func take(_ pulse: LinkPulse) {
        table.now = now
        crew.note(pulse, now: table.now)
        for part in pulse.parts { table.note(part) }
        armSweep()
    }

    /// Takes what another worker has handed over.
    public func take(_ handover: LinkHandover) {
        guard !isClosing, let link = find(handover.link), link.stands else { return }
        table.now = now
        table.noteHeard(link.id)
        switch handover.kind {
        case .control(let number, let payload):
            // The owner has committed a packet: the peer has the keys, also where the owner's word of it is still on
            // its way.
            confirmed(link.id)
            guard !link.isGone else { break }
            link.exchange.receive(packetNumber: number, payload.rawSpan, now: table.now)
            perform(link, from: handover.source)
            markDirty(link)
        case .newAddress: challenge(link, at: handover.source)
        }
        armSweep()
    }

    // MARK: Packets

    /// Takes packets that another worker has handed on; those that are not for this one either are dropped.
    public func take(_ copies: PacketCopies) {
        copies.deliver(on: loop) { received(&$0, isHandedOn: true) }
    }

    /// Hands packets of a batch to the workers whose links they are for.
    func handOnMisrouted(_ batch: inout ReceivedBatch, isHandedOn: Bool) {
        guard let lanes = crew.ways?.lanes else { return }
        for position in sorted.misrouted {
            guard !isHandedOn else {
                table.drop(.unknownIndex)
                continue
            }
            let source = batch.source(of: position)
            let packet = batch.packet(position)
            if lanes[Int(packet.receiverIndex >> 24)]?.add(packet.bytes, from: source) ?? false {
                table.counters.packetsHandedOn &+= 1
            } else {
                table.counters.packetsNotHandedOn &+= 1
            }
        }
        for lane in lanes { lane?.flush() }
    }

    // MARK: Links that are not there yet

    /// All workers have the link.
    func stands(_ id: LinkID) {
        guard let link = find(id) else { return }
        link.stands = true
        let action = link.whenItStands.take()
        // A link that has begun to close meanwhile was never announced, and its end has been told.
        if link.isOpen { action?() }
    }

    /// Goes on once all workers have the link; not at all if it ends before.
    func whenItStands(_ link: ControlLink, _ action: @escaping () -> Void) {
        if link.stands { action() } else { link.whenItStands = action }
    }
}
