// One file: sending, committing and moving share the table's private memory.

internal import DequeModule
internal import EventLoop
public import Link
public import Wire

/// The state of all links that packets touch, and the sockets to send on.
///
/// Each worker has one, and only the worker's thread uses it. It has the sending side of every link, and the receiving
/// side of the links that the worker owns: those whose receiver indices have its number. No packet costs an allocation,
/// a hash look-up or a call of an object.
///
/// It has more members than most types, so that one access to it serves a whole batch.
@safe public struct LinkTable: ~Copyable {
    /// The state of one link.
    @usableFromInline
    struct Entry: ~Copyable {
        /// The state for packets out.
        var sending: SendingSide
        var liveness: Liveness
        let mayMove: Bool
        /// The batch in which a packet last came from another address than the peer's.
        var newAddressBatch: UInt64 = 0
        /// Whether this worker owns the link; then `receivers` has its receiving side at the same place.
        let isOwn: Bool
    }

    /// The state for the packets that this worker sends on a link.
    @usableFromInline
    struct SendingSide: ~Copyable {
        /// The send key of new keys, until the peer has used them; then it replaces that of `sender`.
        var waiting: LinkSendKey?
        var sender: LinkSender
        var address: SocketAddress
        /// Whether there is one worker; then each sender is the sole one of its send key.
        private let isSole: Bool

        init(_ sendKey: LinkSendKey, to address: SocketAddress, isSole: Bool) {
            sender = LinkSender(sendKey, sole: isSole)
            self.address = address
            self.isSole = isSole
        }

        /// Switches to the send key of new keys.
        mutating func use(_ sendKey: LinkSendKey) {
            sender = LinkSender(sendKey, sole: isSole)
            waiting = nil
        }
    }

    /// The loop's time; `Links` sets it before each batch and each turn in which it uses the table.
    public internal(set) var now: Instant
    /// The size of every packet.
    public let packetSize: Int
    /// The counters since the start.
    public internal(set) var counters = LinkCounters()

    var indices: IndexTable
    /// No link's liveness is due for a tick before this time.
    var earliestTick = Instant(nanoseconds: .max)
    /// Links that were confirmed, and links that switched keys, by a packet of this batch; handled after the batch.
    var confirmed: [LinkID] = []
    var switched: [LinkID] = []
    /// The packets of this batch that came from another address than their link's, the first of each link.
    ///
    /// Only one of each link, so that a client that moves does not keep others from moving.
    private(set) var newAddresses: [(link: LinkID, position: Int)] = []
    private var batchNumber: UInt64 = 0
    /// The sockets by family, unretained to save reference counting per packet.
    ///
    /// `Links` keeps each open while it is here.
    var socketV4: Unmanaged<DatagramSocket>? { didSet { forgetFound() } }
    var socketV6: Unmanaged<DatagramSocket>? { didSet { forgetFound() } }
    /// The links of the last packet in and of the last packet out: most packets have the same links as the one before.
    ///
    /// They point into the table, so ``forgetFound()`` clears them when a link is removed, or its address or a socket
    /// changes.
    @usableFromInline var lastIn: FoundIn?
    private var lastOut: FoundOut?

    /// An own link that was looked up.
    @safe @usableFromInline
    struct FoundIn {
        @usableFromInline let link: LinkID
        @usableFromInline let receiver: UnsafeMutablePointer<LinkReceiver>
        /// Whether a packet of this batch was committed since the link was looked up.
        @usableFromInline var isHeard = false
    }

    /// A link that was looked up, and the socket on which it is reached.
    @safe
    private struct FoundOut {
        let link: LinkID
        let entry: UnsafeMutablePointer<Entry>
        let socket: Unmanaged<DatagramSocket>?
    }

    private let entries: UnsafeMutablePointer<Entry>
    /// The receiving sides of own links.
    ///
    /// At the places of other links the memory is not initialised.
    private let receivers: UnsafeMutablePointer<LinkReceiver>
    private let generations: UnsafeMutablePointer<UInt32>
    /// The free places, of which the one that is free for longest is used next.
    private var free: Deque<Int32> = []
    /// How many places may be free before one of them is used again, while the table has unused ones.
    ///
    /// So an id comes back only after many others, and a table of few links still takes little memory.
    private static let mostFree = 256
    /// The number of places ever used; `entries` from there on are not initialised.
    private(set) var placesUsed = 0
    private let capacity: Int
    /// This worker's number, and how many there are.
    let worker: UInt8
    let workers: Int
    /// How many links there are.
    private(set) var count = 0

    /// The table of `worker`, one of so many.
    init(capacity: Int, packetSize: Int, worker: UInt8, workers: Int = 1, now: Instant) {
        precondition(capacity > 0 && capacity < 1 << Int(LinkID.placeBits), "too many links")
        self.capacity = capacity
        self.packetSize = packetSize
        self.now = now
        self.worker = worker
        self.workers = workers
        indices = IndexTable(capacity: Self.indexCapacity(capacity), worker: worker)
        unsafe entries = .allocate(capacity: capacity)
        unsafe receivers = .allocate(capacity: capacity)
        // Even: free. Odd: in use.
        unsafe generations = .allocate(capacity: capacity)
        unsafe generations.initialize(repeating: 0, count: capacity)
    }

    deinit {
        for place in 0..<placesUsed where unsafe generations[place] & 1 == 1 {
            if unsafe (entries + place).pointee.isOwn { unsafe (receivers + place).deinitialize(count: 1) }
            unsafe (entries + place).deinitialize(count: 1)
        }
        unsafe entries.deallocate()
        unsafe receivers.deallocate()
        unsafe generations.deallocate()
    }

    /// How many receiver indices a table of so many links has room for.
    static func indexCapacity(_ links: Int) -> Int { links * 4 }

    // MARK: Links

    /// Adds a link.
    ///
    /// `receiver` is nil if another worker owns the link. Returns nil if the table is full.
    mutating func insert(
        _ receiver: consuming LinkReceiver?, sendKey: LinkSendKey, liveness: Liveness, address: SocketAddress,
        mayMove: Bool
    ) -> LinkID? {
        let place: Int
        if placesUsed < capacity, free.count <= Self.mostFree {
            place = placesUsed
            placesUsed += 1
        } else if let oldest = free.popFirst() {
            place = Int(oldest)
        } else {
            return nil
        }
        let link = unsafe LinkID(place: place, generation: (generations[place] + 1) & LinkID.generationMask)
        fill(link, receiver, SendingSide(sendKey, to: address, isSole: workers == 1), liveness, mayMove)
        return link
    }

    /// Adds a link that worker 0 has added to its own table, at the same place; traps if the place is not free.
    ///
    /// Worker 0's table draws the receiver indices, too.
    mutating func enter(
        _ link: LinkID, _ receiver: consuming LinkReceiver?, sendKey: LinkSendKey, liveness: Liveness,
        address: SocketAddress,
        mayMove: Bool
    ) {
        precondition(self.link(at: link.place) == nil && link.place < capacity, "a free place")
        placesUsed = max(placesUsed, link.place + 1)
        fill(link, receiver, SendingSide(sendKey, to: address, isSole: workers == 1), liveness, mayMove)
    }

    private mutating func fill(
        _ link: LinkID, _ receiver: consuming LinkReceiver?, _ sending: consuming SendingSide, _ liveness: Liveness,
        _ mayMove: Bool
    ) {
        let place = link.place
        let isOwn: Bool
        switch consume receiver {
        case .some(let receiver):
            indices.lead(receiver.localIndex, to: UInt32(truncatingIfNeeded: place))
            unsafe (receivers + place).initialize(to: receiver)
            isOwn = true
        case .none: isOwn = false
        }
        unsafe (entries + place).initialize(
            to: Entry(sending: sending, liveness: liveness, mayMove: mayMove, isOwn: isOwn))
        unsafe generations[place] = link.generation
        count += 1
        earliestTick = min(earliestTick, liveness.nextDeadline)
    }

    /// Removes a link and wipes its keys.
    ///
    /// Returns the receiver indices of its keys, which are free from now on; none if the link is gone or another worker
    /// owns it.
    ///
    /// The caller frees the indices of rekeys under way. With `keepsPlace`, no other link gets the place before
    /// ``freePlace(of:)``.
    @discardableResult
    mutating func remove(_ link: LinkID, keepsPlace: Bool = false) -> [UInt32] {
        guard isLive(link) else { return [] }
        forgetFound()
        var freed: [UInt32] = []
        if let receiver = unsafe receiver(of: link) {
            freed = unsafe receiver.pointee.localIndices()
            for index in freed { indices.free(index) }
            unsafe receiver.deinitialize(count: 1)
        }
        unsafe (entries + link.place).deinitialize(count: 1)
        unsafe generations[link.place] = (generations[link.place] + 1) & LinkID.generationMask
        count -= 1
        if !keepsPlace { freePlace(of: link) }
        return freed
    }

    /// Frees the place of a link that was removed with `keepsPlace`.
    mutating func freePlace(of link: LinkID) { free.append(Int32(truncatingIfNeeded: link.place)) }

    /// Whether the link is in the table; false for a handle of an earlier link at the same place.
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

    /// The receiving side of a link that is live and own.
    @unsafe func receiver(of link: LinkID) -> UnsafeMutablePointer<LinkReceiver>? {
        guard let entry = unsafe liveEntry(link), unsafe entry.pointee.isOwn else { return nil }
        return unsafe receivers + link.place
    }

    /// The receiving side of a link to which an index leads, so that it is live and own.
    @unsafe func indexedReceiver(of link: LinkID) -> UnsafeMutablePointer<LinkReceiver> {
        assert(unsafe receiver(of: link) != nil, "an index of another worker's link")
        return unsafe receivers + link.place
    }

    /// Clears ``lastIn`` and the last link out; call it whenever a link is removed, or its address or socket changes.
    mutating func forgetFound() {
        lastIn = nil
        lastOut = nil
    }

    private func findOut(_ link: LinkID) -> FoundOut? {
        guard let entry = unsafe liveEntry(link) else { return nil }
        return unsafe FoundOut(link: link, entry: entry, socket: unretainedSocket(for: entry.pointee.sending.address))
    }

    /// Looks up the link of a received packet.
    @usableFromInline @inline(never)
    mutating func findIn(_ link: LinkID) {
        lastIn = unsafe receiver(of: link).map { unsafe FoundIn(link: link, receiver: $0) }
    }

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
    /// effect. Only a packet that is committed is a sign of life of the peer: a copy that was spoiled on its way has a
    /// good header, and could come any number of times.
    @inlinable @inline(__always)
    public mutating func commit(_ arrival: Arrival) -> Bool {
        if lastIn?.link != arrival.link { findIn(arrival.link) }
        guard let found = lastIn else { return false }
        if unsafe !found.receiver.pointee.commitNext(index: arrival.index, counter: arrival.counter) {
            guard unsafe commitSlowPath(arrival, found.receiver) else { return false }
        }
        if !found.isHeard || arrival.isFromNewAddress { note(arrival) }
        return true
    }

    /// Notes what a committed packet tells: that the peer lives, and that it may have moved.
    ///
    /// It is called for the first of a link's packets in a row, and for those from another address than the peer's.
    @usableFromInline @inline(never)
    mutating func note(_ arrival: Arrival) {
        guard let entry = unsafe liveEntry(arrival.link) else { return }
        unsafe entry.pointee.liveness.received(now: now)
        if lastIn?.link == arrival.link { lastIn?.isHeard = true }
        guard arrival.isFromNewAddress, unsafe entry.pointee.newAddressBatch != batchNumber else { return }
        unsafe entry.pointee.newAddressBatch = batchNumber
        newAddresses.append((arrival.link, arrival.position))
    }

    /// Forgets what the batch before has noted.
    mutating func beginBatch() {
        batchNumber &+= 1
        lastIn?.isHeard = false
        if !newAddresses.isEmpty { newAddresses.removeAll(keepingCapacity: true) }
    }

    /// Commits a packet that is out of order or changes keys; notes the link if it changed keys.
    @usableFromInline @inline(never)
    mutating func commitSlowPath(_ arrival: Arrival, _ receiver: UnsafeMutablePointer<LinkReceiver>) -> Bool {
        let result = unsafe receiver.pointee.commit(index: arrival.index, counter: arrival.counter, now: now)
        switch result {
        case .committed: return true
        case .duplicate: return false
        case .confirmed: confirmed.append(arrival.link)
        case .switched:
            let entry = unsafe entry(arrival.link)
            if let sendKey = unsafe entry.pointee.sending.waiting.take() { unsafe entry.pointee.sending.use(sendKey) }
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
        if lastOut?.link != link { lastOut = findOut(link) }
        // The counters of all packets at once: those of packets that the socket drops are gaps.
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
    /// The packet's memory holds old bytes at first. Returns false if nothing was sent: the link is gone, its send key
    /// is over, no memory is free, or `fill` returned false. The counter is taken after `fill`, so that no counter is
    /// lost when there is nothing to send.
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
    func hasRoom(on link: LinkID) -> Bool {
        guard isLive(link) else { return false }
        return socket(for: unsafe entry(link).pointee.sending.address).map { !$0.isBlocked } ?? false
    }
}
