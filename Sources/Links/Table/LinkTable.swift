internal import EventLoop
public import Link
public import Wire

/// The state of all links that packets touch, each with a receiving and a sending side, and the sockets to send on.
///
/// Nothing here allocates, looks up a hash or calls an object per packet. It belongs to one worker's thread.
@safe public struct LinkTable: ~Copyable {
    /// One link.
    @usableFromInline
    struct Entry: ~Copyable {
        /// What packets in need.
        @usableFromInline var receiver: LinkReceiver
        /// What packets out need.
        var sending: SendingSide
        var liveness: Liveness
        let mayMove: Bool
    }

    /// What this worker's packets out on a link need.
    @usableFromInline
    struct SendingSide: ~Copyable {
        /// The line that is used once the peer uses the keys that wait.
        var waiting: LinkLine?
        var sender: LinkSender
        var address: SocketAddress

        /// This worker is the only one, so that its senders are.
        init(_ line: LinkLine, to address: SocketAddress) {
            sender = LinkSender(line, sole: true)
            self.address = address
        }

        /// Goes over to the line of new keys.
        mutating func use(_ line: LinkLine) {
            sender = LinkSender(line, sole: true)
            waiting = nil
        }
    }

    /// The moment of the present batch or turn; set by `Links` before the table is used.
    public internal(set) var now: Instant
    /// The size of every packet.
    public let packetSize: Int
    /// What happened so far.
    public internal(set) var counters = LinkCounters()

    var indices: IndexTable
    /// The earliest moment at which the liveness of some link wants a tick; not later than any.
    var earliestTick = Instant(nanoseconds: .max)
    /// Links whose keys changed with a committed packet, to be looked at after the batch.
    var confirmed: [LinkID] = []
    var switched: [LinkID] = []
    /// The sockets by family, unretained for the sake of packets; `Links` keeps each open for as long as it stands here.
    var socketV4: Unmanaged<DatagramSocket>? { didSet { forgetFound() } }
    var socketV6: Unmanaged<DatagramSocket>? { didSet { forgetFound() } }
    /// The link that a packet came on last, and the one that a packet left by last: the next ones are mostly of the same two.
    @usableFromInline var lastIn: Found?
    private var lastOut: Found?

    /// A link that was looked up, and the socket on which it is reached.
    @safe @usableFromInline
    struct Found {
        @usableFromInline let link: LinkID
        @usableFromInline let entry: UnsafeMutablePointer<Entry>
        let socket: Unmanaged<DatagramSocket>?
    }

    private let entries: UnsafeMutablePointer<Entry>
    private let generations: UnsafeMutablePointer<UInt32>
    private var free: [Int32] = []
    /// How many places were ever used: places beyond have no memory initialised.
    private(set) var placesUsed = 0
    private let capacity: Int
    /// How many of the places used are free again.
    var freeCount: Int { free.count }

    init(capacity: Int, packetSize: Int, worker: UInt8, now: Instant) {
        precondition(capacity > 0 && capacity < 1 << Int(LinkID.placeBits), "too many links")
        self.capacity = capacity
        self.packetSize = packetSize
        self.now = now
        indices = IndexTable(capacity: capacity * 4, worker: worker)
        unsafe entries = .allocate(capacity: capacity)
        // Even: free. Odd: in use.
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

    /// Adds a link; nil when the table is full.
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

    /// Takes a link out and wipes its keys; receiver indices of its rekeys are the caller's to free.
    mutating func remove(_ link: LinkID) {
        guard isLive(link) else { return }
        forgetFound()
        let entry = unsafe entries + link.place
        for index in unsafe entry.pointee.receiver.localIndices() { indices.free(index) }
        unsafe entry.deinitialize(count: 1)
        unsafe generations[link.place] = (generations[link.place] + 1) & LinkID.generationMask
        free.append(Int32(truncatingIfNeeded: link.place))
    }

    /// Whether the link stands.
    public func isLive(_ link: LinkID) -> Bool {
        link.place < placesUsed && link.generation & 1 == 1
            && matches(link)
    }

    private func matches(_ link: LinkID) -> Bool { unsafe generations[link.place] == link.generation }

    /// The link at `place`, where there is one.
    func link(at place: Int) -> LinkID? {
        guard place < placesUsed else { return nil }
        let generation = unsafe generations[place]
        return generation & 1 == 1 ? LinkID(place: place, generation: generation) : nil
    }

    /// The state of a link that is live.
    @unsafe func entry(_ link: LinkID) -> UnsafeMutablePointer<Entry> {
        precondition(isLive(link), "the link is gone")
        return unsafe entries + link.place
    }

    /// The state of a link, if it is live.
    @unsafe func liveEntry(_ link: LinkID) -> UnsafeMutablePointer<Entry>? {
        isLive(link) ? unsafe entries + link.place : nil
    }

    /// Lets both links be looked up anew: to be called whenever a link goes, or the way to one changes.
    mutating func forgetFound() {
        lastIn = nil
        lastOut = nil
    }

    private func found(_ link: LinkID) -> Found? {
        guard let entry = unsafe liveEntry(link) else { return nil }
        return unsafe Found(link: link, entry: entry, socket: unretainedSocket(for: entry.pointee.sending.address))
    }

    /// Looks up the link that a packet came on.
    @usableFromInline @inline(never)
    mutating func findIn(_ link: LinkID) { lastIn = found(link) }

    /// The address of a link's peer; nil when the link is gone.
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

    /// Notes that a packet has passed its last check: its link counter counts as seen.
    ///
    /// False when another packet with the same counter was faster, or the link is gone: then this one must have no effect.
    @inlinable @inline(__always)
    public mutating func commit(_ arrival: Arrival) -> Bool {
        if lastIn?.link != arrival.link { findIn(arrival.link) }
        guard let entry = unsafe lastIn?.entry else { return false }
        if unsafe entry.pointee.receiver.commitNext(index: arrival.index, counter: arrival.counter) { return true }
        return unsafe commitRarer(arrival, entry)
    }

    /// Commits a packet out of order, or one that changes keys, and remembers its link in that case.
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

    /// Whether there are commits to follow up on.
    var hasCommits: Bool { !confirmed.isEmpty || !switched.isEmpty }

    /// Counts a packet that a handler drops.
    public mutating func drop(_ reason: LinkDropReason) { counters.drops.count(reason) }

    // MARK: Packets out

    /// Sends received packets on, which have been committed: seals their headers for `link` in place and queues them from where they lie.
    ///
    /// Path id and slots must be what the next node is to see. They are dropped, and counted, when the link is gone.
    public mutating func forward(_ packets: inout ReceivedPackets, _ numbers: Range<Int>, on link: LinkID) {
        guard !numbers.isEmpty else { return }
        packets.check(numbers)
        if lastOut?.link != link { lastOut = found(link) }
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
            // The socket has dropped one.
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
    /// The packet's memory holds old bytes at first. False when nothing was sent: the link is gone or its line over, no memory is free,
    /// or `fill` returned false. The counter is taken last, and without one the memory goes back unsent.
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

    /// Whether the sockets' queues have room, so that a sender may go on.
    public func hasRoom(on link: LinkID) -> Bool {
        guard isLive(link) else { return false }
        return socket(for: unsafe entry(link).pointee.sending.address).map { !$0.isBlocked } ?? false
    }
}
