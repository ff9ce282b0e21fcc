internal import EventLoop
public import Link
public import Wire

/// The state of all links that packets touch, with a receiving and a sending side for each, and the sockets.
///
/// Per packet nothing allocates, hashes or calls an object. It belongs to one worker's thread.
@safe public struct LinkTable: ~Copyable {
    /// The state of one link.
    @usableFromInline
    struct Entry: ~Copyable {
        /// The state for received packets.
        @usableFromInline var receiver: LinkReceiver
        /// The state for sent packets.
        var sending: SendingSide
        var liveness: Liveness
        let mayMove: Bool
    }

    /// The state for the packets that this worker sends on a link.
    @usableFromInline
    struct SendingSide: ~Copyable {
        /// The line for new keys, until the peer uses them.
        var waiting: LinkLine?
        var sender: LinkSender
        var address: SocketAddress

        /// A sender for `line`; this worker is the only one, so the sender is the line's only one.
        init(_ line: LinkLine, to address: SocketAddress) {
            sender = LinkSender(line, sole: true)
            self.address = address
        }

        /// Switches to the line of new keys.
        mutating func use(_ line: LinkLine) {
            sender = LinkSender(line, sole: true)
            waiting = nil
        }
    }

    /// The time of the present batch or turn; `Links` sets it before it uses the table.
    public internal(set) var now: Instant
    /// The size of every packet.
    public let packetSize: Int
    /// The counters since the start.
    public internal(set) var counters = LinkCounters()

    var indices: IndexTable
    /// A lower bound of the moments at which any link's liveness is due for a tick.
    var earliestTick = Instant(nanoseconds: .max)
    /// Links that were confirmed, and links that switched keys, by a packet of this batch; handled after the batch.
    var confirmed: [LinkID] = []
    var switched: [LinkID] = []
    /// The sockets by family, unretained to save reference counting per packet.
    ///
    /// `Links` keeps each open while it is here.
    var socketV4: Unmanaged<DatagramSocket>? { didSet { forgetFound() } }
    var socketV6: Unmanaged<DatagramSocket>? { didSet { forgetFound() } }
    /// The links of the last received and of the last sent packet: the next packets are mostly of the same two.
    @usableFromInline var lastIn: Found?
    private var lastOut: Found?

    /// A link that was looked up, and the socket that reaches its peer.
    @safe @usableFromInline
    struct Found {
        @usableFromInline let link: LinkID
        @usableFromInline let entry: UnsafeMutablePointer<Entry>
        let socket: Unmanaged<DatagramSocket>?
    }

    private let entries: UnsafeMutablePointer<Entry>
    private let generations: UnsafeMutablePointer<UInt32>
    private var free: [Int32] = []
    /// How many places were ever used; the memory of the others is not initialised.
    private(set) var placesUsed = 0
    private let capacity: Int
    /// How many of the used places are free again.
    var freeCount: Int { free.count }

    init(capacity: Int, packetSize: Int, worker: UInt8, now: Instant) {
        precondition(capacity > 0 && capacity < 1 << Int(LinkID.placeBits), "too many links")
        self.capacity = capacity
        self.packetSize = packetSize
        self.now = now
        indices = IndexTable(capacity: capacity * 4, worker: worker)
        unsafe entries = .allocate(capacity: capacity)
        // An even generation is a free place, an odd one a place in use.
        unsafe generations = .allocate(capacity: capacity)
        unsafe generations.initialize(repeating: 0, count: capacity)
    }

    deinit {
        for place in 0..<placesUsed where unsafe generations[place] & 1 == 1 {
            unsafe (entries + place).deinitialize(count: 1)
        }
        unsafe entries.deallocate()
        unsafe generations.deallocate()
    }

    // MARK: Links

    /// Adds a link; nil if the table is full.
    mutating func insert(
        _ receiver: consuming LinkReceiver, line: LinkLine, liveness: Liveness, address: SocketAddress, mayMove: Bool
    ) -> LinkID? {
        let place: Int
        if let last = free.popLast() {
            place = Int(last)
        } else if placesUsed < capacity {
            place = placesUsed
            placesUsed += 1
        } else {
            return nil
        }
        let index = receiver.localIndex
        unsafe (entries + place).initialize(
            to: Entry(
                receiver: receiver, sending: SendingSide(line, to: address), liveness: liveness, mayMove: mayMove))
        unsafe generations[place] = (generations[place] + 1) & LinkID.generationMask
        indices.move(index, to: UInt32(place))
        earliestTick = min(earliestTick, liveness.nextDeadline)
        return unsafe LinkID(place: place, generation: generations[place])
    }

    /// Removes a link and wipes its keys; the caller frees the receiver indices of the link's rekeys.
    mutating func remove(_ link: LinkID) {
        guard isLive(link) else { return }
        forgetFound()
        let entry = unsafe entries + link.place
        for index in unsafe entry.pointee.receiver.localIndices() { indices.free(index) }
        unsafe entry.deinitialize(count: 1)
        unsafe generations[link.place] = (generations[link.place] + 1) & LinkID.generationMask
        free.append(Int32(truncatingIfNeeded: link.place))
    }

    /// Whether the link is in the table.
    public func isLive(_ link: LinkID) -> Bool {
        link.place < placesUsed && link.generation & 1 == 1
            && matches(link)
    }

    private func matches(_ link: LinkID) -> Bool { unsafe generations[link.place] == link.generation }

    /// The link at `place`, if there is one.
    func link(at place: Int) -> LinkID? {
        guard place < placesUsed else { return nil }
        let generation = unsafe generations[place]
        return generation & 1 == 1 ? LinkID(place: place, generation: generation) : nil
    }

    /// The state of a live link; traps if the link is gone.
    @unsafe func entry(_ link: LinkID) -> UnsafeMutablePointer<Entry> {
        precondition(isLive(link), "the link is gone")
        return unsafe entries + link.place
    }

    /// The state of a link, if it is live.
    @unsafe func liveEntry(_ link: LinkID) -> UnsafeMutablePointer<Entry>? {
        isLive(link) ? unsafe entries + link.place : nil
    }

    /// Forgets both looked-up links; must be called whenever a link is removed or its address or socket changes.
    mutating func forgetFound() {
        lastIn = nil
        lastOut = nil
    }

    private func found(_ link: LinkID) -> Found? {
        guard let entry = unsafe liveEntry(link) else { return nil }
        return unsafe Found(link: link, entry: entry, socket: unretainedSocket(for: entry.pointee.sending.address))
    }

    /// Looks up the link of a received packet.
    @usableFromInline @inline(never)
    mutating func findIn(_ link: LinkID) { lastIn = found(link) }

    /// The address of a link's peer; nil if the link is gone.
    func address(of link: LinkID) -> SocketAddress? {
        isLive(link) ? unsafe entry(link).pointee.sending.address : nil
    }

    func socket(for address: SocketAddress) -> DatagramSocket? {
        unsafe unretainedSocket(for: address)?.takeUnretainedValue()
    }

    private func unretainedSocket(for address: SocketAddress) -> Unmanaged<DatagramSocket>? {
        unsafe address.isIPv4 ? socketV4 : socketV6
    }

    // MARK: Packets in

    /// Marks a packet's link counter as seen, after the packet has passed its last check.
    ///
    /// False if a packet with the same counter was committed before, or the link is gone: this packet must have no
    /// effect.
    @inlinable @inline(__always)
    public mutating func commit(_ arrival: Arrival) -> Bool {
        if lastIn?.link != arrival.link { findIn(arrival.link) }
        guard let entry = unsafe lastIn?.entry else { return false }
        if unsafe entry.pointee.receiver.commitNext(index: arrival.index, counter: arrival.counter) { return true }
        return unsafe commitRarer(arrival, entry)
    }

    /// Commits a packet that is out of order or changes keys; notes the link if it changed keys.
    @usableFromInline @inline(never)
    mutating func commitRarer(_ arrival: Arrival, _ entry: UnsafeMutablePointer<Entry>) -> Bool {
        let result = unsafe entry.pointee.receiver.commit(index: arrival.index, counter: arrival.counter, now: now)
        switch result {
        case .committed: return true
        case .duplicate: return false
        case .confirmed: confirmed.append(arrival.link)
        case .switched:
            if let line = unsafe entry.pointee.sending.waiting.take() { unsafe entry.pointee.sending.use(line) }
            switched.append(arrival.link)
        }
        return true
    }

    /// Whether the batch confirmed a link or switched keys.
    var hasCommits: Bool { !confirmed.isEmpty || !switched.isEmpty }

    /// Counts a packet that a handler drops.
    public mutating func drop(_ reason: LinkDropReason) { counters.drops.count(reason) }

    // MARK: Packets out

    /// Sends on received packets that were committed: seals their headers for `link` in place and queues them without a
    /// copy.
    ///
    /// Path id and slots must already be those for the next node. If the link is gone the packets are dropped and
    /// counted.
    public mutating func forward(_ packets: inout ReceivedPackets, _ numbers: Range<Int>, on link: LinkID) {
        guard !numbers.isEmpty else { return }
        packets.check(numbers)
        if lastOut?.link != link { lastOut = found(link) }
        // Takes the counters of all packets at once; the socket may drop some, which leaves gaps.
        guard let entry = unsafe lastOut?.entry, let socket = unsafe lastOut?.socket,
            var counter = unsafe entry.pointee.sending.sender.takeCounters(numbers.count)
        else {
            for _ in numbers { counters.drops.count(.notSendable) }
            return
        }
        var next = numbers.lowerBound
        repeat {
            let room = unsafe socket._withUnsafeGuaranteedRef {
                unsafe $0.reserve(numbers.upperBound &- next, length: packetSize, to: entry.pointee.sending.address)
            }
            // The socket has dropped one packet.
            guard room.count > 0 else {
                next &+= 1
                continue
            }
            for place in 0..<room.count {
                var packet = packets.checkedPacket(next)
                unsafe entry.pointee.sending.sender.sealHeader(&packet, counter: counter)
                counter &+= 1
                unsafe room.put(packets.checkedBytes(next), at: place)
                next &+= 1
            }
        } while next < numbers.upperBound
        unsafe noteSent(numbers.count, &entry.pointee.liveness)
    }

    @inline(__always)
    private mutating func noteSent(_ packets: Int, _ liveness: inout Liveness) {
        counters.packetsSent &+= UInt64(truncatingIfNeeded: packets)
        guard liveness.sent(now: now) else { return }
        if liveness.nextDeadline < earliestTick { earliestTick = liveness.nextDeadline }
    }

    /// Makes and sends a data packet: `fill` writes path id, slots and payload, or returns false to send nothing.
    ///
    /// The packet's memory holds old bytes at first. Returns false if nothing was sent: the link is gone, no memory is
    /// free, or `fill` returned false.
    public mutating func send(on link: LinkID, _ fill: (inout MutableRawSpan) -> Bool) -> Bool {
        guard let entry = unsafe liveEntry(link) else { return false }
        let address = unsafe entry.pointee.sending.address
        guard let socket = socket(for: address), var slot = socket.sendSlot(size: packetSize) else {
            counters.drops.count(.notSendable)
            return false
        }
        var packet = slot.bytes
        guard fill(&packet) else { return false }
        guard unsafe entry.pointee.sending.sender.sealHeader(&packet) else {
            counters.drops.count(.notSendable)
            return false
        }
        unsafe noteSent(1, &entry.pointee.liveness)
        slot.commit(to: address)
        return true
    }

    /// Whether the queue of the link's socket has room, so that a sender may go on.
    public func hasRoom(on link: LinkID) -> Bool {
        guard isLive(link) else { return false }
        return socket(for: unsafe entry(link).pointee.sending.address).map { !$0.isBlocked } ?? false
    }
}
