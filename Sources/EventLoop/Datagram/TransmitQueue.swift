import CLibUV
public import CShims
import Glibc

/// The queues of a loop that hold packets for the next flush, as a list through the queues.
@safe
struct TransmitList {
    var first: UnsafeMutablePointer<TransmitQueue>?
}

/// The packets that a socket sends at the next flush: pointers to where they lie, grouped by destination.
///
/// Lives at one address, outside of any class, so that the packet path pays for no exclusivity checks. A group becomes one
/// message: with UDP_SEGMENT, one skeleton of headers in the kernel for up to 64 packets of equal length (the last may be shorter).
/// Packets to one destination leave in the order of their queueing; different destinations may overtake one another.
/// It stays one file: queueing and flushing share raw memory, which is private to the type.
@safe @usableFromInline
struct TransmitQueue: ~Copyable {
    /// Consecutive packets to one destination; group g's vectors are the 64 from 64 g on.
    @usableFromInline
    struct Group {
        @usableFromInline var address: SocketAddress
        @usableFromInline var count: Int32
        @usableFromInline var byteCount: Int32
        /// How many packets of this length fit.
        @usableFromInline var limit: Int32
        /// The length of each packet but the last, which may be shorter; -1 when no more may follow.
        @usableFromInline var segmentSize: Int32
        /// Whether some of the packets lie in send slots.
        @usableFromInline var hasSlots: Bool
        /// Sent packet by packet, after the kernel refused the segmented message.
        var isPlain: Bool
    }

    /// An address of this machine, in network order.
    private struct OwnAddress: Equatable {
        var high: UInt64 = 0
        var low: UInt64 = 0
    }

    /// Where a message of the present system call begins.
    private struct Position {
        var group: Int
        var packet: Int
    }

    /// The most segments of one message that all kernels with UDP_SEGMENT take.
    @usableFromInline static let maximumSegments = 64
    /// The most payload of one segmented message that both address families take.
    static let maximumBytes = 65_507 - 20
    /// The messages of one system call.
    private static let messagesPerCall = 64
    /// Destinations whose last group is found at once.
    private static let recentCount = 64

    let groupCapacity: Int
    let sendSlotCount: Int
    let sendSlotSize: Int
    var isSegmenting: Bool
    /// Whether the kernel has taken a segmented message: then a refusal is a matter of one destination's way.
    private var hasSegmented = false
    /// Whether the kernel tells to which own address a message came.
    let tellsOwnAddresses: Bool
    private let owns: UnsafeMutablePointer<OwnAddress>
    private var ownCount = 0
    var isClosed = false
    /// Whether the queue waits for the socket to become writable.
    private(set) var isBlocked = false
    /// Whether packets are left to wait in the kernel.
    var isReceivePaused = false
    var counters = DatagramCounters()

    @usableFromInline var isListed = false
    var next: UnsafeMutablePointer<TransmitQueue>?

    private let descriptor: Int32
    /// The socket of a simulated network, in place of the descriptor.
    private let wire: SimulatedSocket?
    private let poll: UnsafeMutablePointer<uv_poll_t>
    private let pollCallback: uv_poll_cb
    private let list: UnsafeMutablePointer<TransmitList>

    @usableFromInline let groups: UnsafeMutablePointer<Group>
    /// Where the packets of the groups lie: what the kernel is given.
    @usableFromInline let vectors: UnsafeMutablePointer<shim_vector>
    /// The send slot of each packet, or -1 for memory of someone else's; only of groups that have some.
    @usableFromInline let vectorSlots: UnsafeMutablePointer<Int32>
    /// By a hash of the address: the group that was begun last.
    private let recent: UnsafeMutablePointer<Int32>
    @usableFromInline var groupCount = 0
    /// The group of the packet that was queued last.
    @usableFromInline var last = 0

    private let slots: UnsafeMutableRawPointer
    private let freeSlots: UnsafeMutablePointer<Int32>
    private var freeSlotCount: Int

    private let messages: UnsafeMutablePointer<shim_message>
    private let positions: UnsafeMutablePointer<Position>
    private let names: UnsafeMutableRawPointer
    private let controls: UnsafeMutableRawPointer

    /// A queue for packets to as many destinations, and with as many send slots, as `configuration` says.
    init(
        descriptor: Int32, wire: SimulatedSocket?, poll: UnsafeMutablePointer<uv_poll_t>,
        pollCallback: @escaping uv_poll_cb, list: UnsafeMutablePointer<TransmitList>, tellsOwnAddresses: Bool,
        configuration: DatagramSocket.Configuration
    ) {
        self.tellsOwnAddresses = tellsOwnAddresses
        unsafe owns = .allocate(capacity: tellsOwnAddresses ? Self.ownLimit : 1)
        self.descriptor = descriptor
        self.wire = wire
        unsafe self.poll = poll
        unsafe self.pollCallback = pollCallback
        unsafe self.list = list
        sendSlotCount = configuration.sendSlotCount
        sendSlotSize = (configuration.sendSlotSize + 63) & ~63
        groupCapacity = max(configuration.groupCapacity, 1)
        isSegmenting = configuration.usesSegmentation

        // None is written before it is used: what is never used takes no memory.
        unsafe groups = .allocate(capacity: groupCapacity)
        unsafe vectors = .allocate(capacity: groupCapacity * Self.maximumSegments)
        unsafe vectorSlots = .allocate(capacity: groupCapacity * Self.maximumSegments)
        unsafe recent = .allocate(capacity: Self.recentCount)
        unsafe recent.initialize(repeating: -1, count: Self.recentCount)
        unsafe slots = .allocate(byteCount: max(sendSlotCount * sendSlotSize, 64), alignment: 64)
        unsafe freeSlots = .allocate(capacity: max(sendSlotCount, 1))
        freeSlotCount = sendSlotCount
        for index in 0..<sendSlotCount { unsafe freeSlots[index] = Int32(sendSlotCount - 1 - index) }

        let calls = Self.messagesPerCall
        unsafe messages = .allocate(capacity: calls)
        unsafe messages.initialize(repeating: shim_message(), count: calls)
        unsafe positions = .allocate(capacity: calls)
        unsafe names = .allocate(byteCount: calls * SocketAddress.storageSize, alignment: 8)
        unsafe controls = .allocate(byteCount: calls * SHIM_CONTROL_SIZE, alignment: 8)
    }

    deinit {
        unsafe owns.deallocate()
        unsafe groups.deallocate()
        unsafe vectors.deallocate()
        unsafe vectorSlots.deallocate()
        unsafe recent.deallocate()
        unsafe slots.deallocate()
        unsafe freeSlots.deallocate()
        unsafe messages.deallocate()
        unsafe positions.deallocate()
        unsafe names.deallocate()
        unsafe controls.deallocate()
    }

    // MARK: - Own addresses

    /// How many own addresses are told apart; answers to what came to others leave from where the kernel chooses.
    private static let ownLimit = Int(UInt8.max)

    /// The number of the own address that a message came to, from 1 up; 0 where it is not told, or has no place.
    mutating func ownAddress(of header: UnsafePointer<msghdr>) -> UInt8 {
        var found = OwnAddress()
        guard unsafe shim_received_own_address(header, &found) != 0 else { return 0 }
        for place in 0..<ownCount where unsafe owns[place] == found { return UInt8(place + 1) }
        guard ownCount < Self.ownLimit else { return 0 }
        unsafe (owns + ownCount).initialize(to: found)
        ownCount += 1
        return UInt8(ownCount)
    }

    // MARK: - Send slots

    /// Takes a send slot; after a flush, if there is none at first.
    mutating func takeSlot() -> Int32? {
        guard !isClosed else { return nil }
        if freeSlotCount == 0 { flush() }
        guard freeSlotCount > 0 else {
            counters.droppedWithoutSlot += 1
            return nil
        }
        freeSlotCount -= 1
        return unsafe freeSlots[freeSlotCount]
    }

    /// The memory of a send slot.
    func slotMemory(_ slot: Int32) -> UnsafeMutableRawPointer { unsafe slots + Int(slot) * sendSlotSize }

    /// Gives a send slot back.
    @usableFromInline
    mutating func releaseSlot(_ slot: Int32) {
        assert(freeSlotCount < sendSlotCount, "a slot was given back twice")
        unsafe freeSlots[freeSlotCount] = slot
        freeSlotCount += 1
    }

    // MARK: - Queueing

    /// Queues one packet; `slot`, or -1 for none, is given back when it has been sent or dropped.
    ///
    /// Memory that is no send slot must stay valid until the flush.
    @inlinable @inline(__always)
    mutating func append(_ bytes: UnsafeRawPointer, length: Int, slot: Int32, to address: SocketAddress) {
        guard isLastGroup(for: length, address) || selectGroup(for: length, address) else {
            if slot >= 0 { releaseSlot(slot) }
            return
        }
        let group = unsafe groups + last
        assert(unsafe length >= 0 && group.pointee.count < group.pointee.limit, "a group has room")
        let place = unsafe last &* Self.maximumSegments &+ Int(group.pointee.count)
        unsafe vectors[place] = shim_vector(base: UnsafeMutableRawPointer(mutating: bytes), length: length)
        unsafe note(slot, of: place, in: group)
        unsafe grow(group, by: 1, length)
    }

    /// Room for up to `count` packets of `length` bytes in no send slots, at least for one; none when the first is dropped, and counted.
    ///
    /// All of it is to be filled with where the packets lie, before anything else is done with the queue.
    mutating func reserve(_ count: Int, length: Int, to address: SocketAddress) -> SendRoom {
        precondition(count > 0 && length >= 0, "room for at least one packet")
        guard isLastGroup(for: length, address) || selectGroup(for: length, address) else {
            return unsafe SendRoom(nil, count: 0, length: length)
        }
        let group = unsafe groups + last
        let place = unsafe last &* Self.maximumSegments &+ Int(group.pointee.count)
        let isFull = unsafe Int(group.pointee.segmentSize) == length
        let added = unsafe isFull ? min(count, Int(group.pointee.limit - group.pointee.count)) : 1
        assert(unsafe added > 0 && Int(group.pointee.count) + added <= Self.maximumSegments, "a group has room")
        if unsafe group.pointee.hasSlots { unsafe (vectorSlots + place).update(repeating: -1, count: added) }
        unsafe grow(group, by: added, length)
        return unsafe SendRoom(vectors + place, count: added, length: length)
    }

    /// Whether the group of the packet that was queued last takes one like it, as it does for almost all packets.
    ///
    /// A closed queue has no groups, and no length is that of an ended one.
    @inlinable @inline(__always)
    func isLastGroup(for length: Int, _ address: SocketAddress) -> Bool {
        guard last < groupCount, unsafe groups[last].segmentSize == Int32(truncatingIfNeeded: length) else {
            return false
        }
        return unsafe groups[last].address == address
    }

    /// Notes that packets of `length` bytes have been put to a group; a shorter one than the others is its last.
    @inlinable @inline(__always)
    mutating func grow(_ group: UnsafeMutablePointer<Group>, by packets: Int, _ length: Int) {
        unsafe group.pointee.count &+= Int32(truncatingIfNeeded: packets)
        unsafe group.pointee.byteCount &+= Int32(truncatingIfNeeded: packets &* length)
        if unsafe Int(group.pointee.segmentSize) != length || group.pointee.count == group.pointee.limit {
            unsafe group.pointee.segmentSize = -1
        }
        if !isListed { enlist() }
    }

    /// Notes the slot of a packet that is put at `place`, if its group has or gets some.
    @inlinable @inline(__always)
    func note(_ slot: Int32, of place: Int, in group: UnsafeMutablePointer<Group>) {
        if unsafe slot >= 0 && !group.pointee.hasSlots {
            let count = unsafe Int(group.pointee.count)
            unsafe (vectorSlots + (place - count)).update(repeating: -1, count: count)
            unsafe group.pointee.hasSlots = true
        }
        if unsafe group.pointee.hasSlots { unsafe vectorSlots[place] = slot }
    }

    private static func place(of address: SocketAddress) -> Int {
        let mixed = (address.low ^ (address.high &* 31) ^ UInt64(address.port) << 40) &* 0x9e37_79b9_7f4a_7c15
        return Int(truncatingIfNeeded: mixed >> 58)
    }

    /// Finds or begins a group for a packet to another destination than the last one, one of another length, or the first of a group.
    ///
    /// False when the packet is dropped, which is counted.
    @usableFromInline @inline(never)
    mutating func selectGroup(for length: Int, _ address: SocketAddress) -> Bool {
        precondition(length >= 0, "a packet has a length")
        guard !isClosed, length <= Int(UInt16.max) else {
            counters.droppedOversize += 1
            return false
        }
        let place = Self.place(of: address)
        let candidate = unsafe Int(recent[place])
        if candidate >= 0, candidate < groupCount, length > 0, unsafe length <= Int(groups[candidate].segmentSize),
            unsafe groups[candidate].address == address
        {
            last = candidate
            return true
        }
        if groupCount == groupCapacity { flush() }
        guard groupCount < groupCapacity else {
            counters.droppedBlocked += 1
            return false
        }
        // A datagram without bytes cannot be a segment.
        let limit = length == 0 ? 1 : min(Self.maximumSegments, max(1, Self.maximumBytes / length))
        unsafe groups[groupCount] = Group(
            address: address, count: 0, byteCount: 0, limit: Int32(truncatingIfNeeded: limit),
            segmentSize: Int32(truncatingIfNeeded: length), hasSlots: false, isPlain: false)
        unsafe recent[place] = Int32(truncatingIfNeeded: groupCount)
        last = groupCount
        groupCount += 1
        return true
    }

    /// Asks for a flush, also where packets wait for a writable socket: those that lie in memory of others cannot wait.
    @usableFromInline @inline(never)
    mutating func enlist() {
        isListed = true
        unsafe next = list.pointee.first
        unsafe list.pointee.first = selfPointer
    }

    /// The address at which the queue lives; set once, right after it has been put there.
    var selfPointer: UnsafeMutablePointer<TransmitQueue>?

    // MARK: - Sending

    /// Sends everything; what the socket cannot take now stays queued if it lies in send slots, and is dropped otherwise.
    mutating func flush() {
        guard groupCount > 0 else { return }
        var start = Position(group: 0, packet: 0)
        while start.group < groupCount {
            var end = start
            let count = fill(from: &end)
            counters.sendCalls += 1
            let sent = send(count)
            if sent > 0 {
                for index in 0..<sent { finish(message: index, isSent: true) }
                start = sent == count ? end : unsafe positions[sent]
                continue
            }
            switch Int32(-sent) {
            case EINTR: continue
            case EAGAIN, ENOBUFS, ENOMEM:
                keep(from: start)
                return
            case let error:
                // A message of several vectors is a segmented one.
                if unsafe messages[0].header.msg_iovlen > 1 {
                    if error == EIO || error == ENOPROTOOPT || error == EOPNOTSUPP {
                        isSegmenting = false
                        continue
                    }
                    if error == EINVAL || error == EMSGSIZE {
                        unsafe groups[start.group].isPlain = true
                        continue
                    }
                }
                if error == EMSGSIZE {
                    counters.droppedOversize += unsafe UInt64(messages[0].header.msg_iovlen)
                } else {
                    counters.droppedUnreachable += unsafe UInt64(messages[0].header.msg_iovlen)
                }
                finish(message: 0, isSent: false)
                start = count == 1 ? end : unsafe positions[1]
            }
        }
        groupCount = 0
        if isBlocked {
            isBlocked = false
            startPolling()
        }
    }

    /// Hands over the first `count` messages: how many were taken, or a negative errno.
    private func send(_ count: Int) -> Int {
        if let wire { return unsafe wire.send(messages, count) }
        return unsafe Int(shim_send_messages(descriptor, messages, UInt32(truncatingIfNeeded: count)))
    }

    /// Prepares the messages of one call; moves `position` behind them and returns their number.
    private func fill(from position: inout Position) -> Int {
        var count = 0
        while count < Self.messagesPerCall, position.group < groupCount {
            let group = unsafe groups + position.group
            let isSegmented = unsafe isSegmenting && !group.pointee.isPlain
            unsafe positions[count] = position
            let message = unsafe messages + count
            let name = unsafe names + count * SocketAddress.storageSize
            unsafe message.pointee.header.msg_name = name
            unsafe message.pointee.header.msg_namelen = socklen_t(
                truncatingIfNeeded: group.pointee.address.store(to: name))
            let vector = unsafe vectors + position.group * Self.maximumSegments + position.packet
            // The layout is the same.
            unsafe message.pointee.header.msg_iov = UnsafeMutableRawPointer(vector).assumingMemoryBound(to: iovec.self)
            let left = unsafe Int(group.pointee.count) - position.packet
            let length = isSegmented ? left : 1
            unsafe message.pointee.header.msg_iovlen = length
            let own = unsafe Int(group.pointee.address.own)
            if length > 1 || own > 0 {
                unsafe shim_set_control(
                    &message.pointee.header, controls + count * SHIM_CONTROL_SIZE,
                    length > 1 ? UInt16(truncatingIfNeeded: vector.pointee.length) : 0,
                    own > 0 && own <= ownCount ? owns + (own - 1) : nil)
            } else {
                unsafe message.pointee.header.msg_control = nil
                unsafe message.pointee.header.msg_controllen = 0
            }
            count += 1
            position.packet += length
            if length == left { position = Position(group: position.group + 1, packet: 0) }
        }
        return count
    }

    /// Counts a message's packets and gives their slots back.
    private mutating func finish(message: Int, isSent: Bool) {
        let position = unsafe positions[message]
        let count = unsafe Int(messages[message].header.msg_iovlen)
        let group = unsafe groups + position.group
        let first = position.group * Self.maximumSegments + position.packet
        if isSent {
            counters.packetsSent += UInt64(truncatingIfNeeded: count)
            counters.messagesSent += 1
            if count > 1 { hasSegmented = true }
            if unsafe isSegmenting && group.pointee.isPlain && group.pointee.count > 1 && !hasSegmented {
                // The kernel takes these packets one by one, but not as segments: never ask again.
                isSegmenting = false
            }
            if unsafe count == Int(group.pointee.count) {
                counters.bytesSent += unsafe UInt64(truncatingIfNeeded: group.pointee.byteCount)
            } else {
                for place in first..<first + count {
                    counters.bytesSent += unsafe UInt64(truncatingIfNeeded: vectors[place].length)
                }
            }
        }
        guard unsafe group.pointee.hasSlots else { return }
        for place in first..<first + count where unsafe vectorSlots[place] >= 0 {
            unsafe releaseSlot(vectorSlots[place])
        }
    }

    /// Keeps the packets of send slots from `position` on for when the socket is writable, and drops the others.
    private mutating func keep(from position: Position) {
        var keptGroups = 0
        for number in position.group..<groupCount {
            var group = unsafe groups[number]
            let first = number == position.group ? position.packet : 0
            let count = Int(group.count)
            let source = number * Self.maximumSegments
            let target = keptGroups * Self.maximumSegments
            var kept = 0
            group.byteCount = 0
            for packet in first..<count {
                if unsafe !group.hasSlots || vectorSlots[source + packet] < 0 {
                    counters.droppedBlocked += 1
                } else {
                    unsafe vectors[target + kept] = vectors[source + packet]
                    unsafe vectorSlots[target + kept] = vectorSlots[source + packet]
                    group.byteCount += unsafe Int32(truncatingIfNeeded: vectors[target + kept].length)
                    kept += 1
                }
            }
            guard kept > 0 else { continue }
            group.count = Int32(truncatingIfNeeded: kept)
            unsafe groups[keptGroups] = group
            keptGroups += 1
        }
        groupCount = keptGroups
        // The groups have other numbers now.
        last = groupCount
        unsafe recent.update(repeating: -1, count: Self.recentCount)
        if isBlocked != (keptGroups > 0) {
            isBlocked = keptGroups > 0
            startPolling()
        }
    }

    /// Polls for reading, unless that is paused, and while packets wait also for writing.
    func startPolling() {
        if let wire { return wire.isPaused = isReceivePaused }
        let events = (isReceivePaused ? 0 : UV_READABLE.rawValue) | (isBlocked ? UV_WRITABLE.rawValue : 0)
        guard events != 0 else {
            unsafe uv_poll_stop(poll)
            return
        }
        unsafe uv_poll_start(poll, Int32(events), pollCallback)
    }
}
