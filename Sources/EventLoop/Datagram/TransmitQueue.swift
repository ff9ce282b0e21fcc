// One file: queueing and flushing share raw memory, which is private to the type.

import CLibUV
public import CShims
import Glibc

/// A linked list of a loop's queues that hold packets for the next flush.
@safe
struct TransmitList {
    var first: UnsafeMutablePointer<TransmitQueue>?
}

/// The packets that a socket sends at the next flush: pointers to their bytes, grouped by destination.
///
/// It lives at one address, outside of any class, so that the packet path has no exclusivity checks. A group becomes
/// one message. With UDP_SEGMENT the kernel handles one set of headers for up to 64 packets of equal length (the last
/// may be shorter). Packets to one destination are sent in the order of queueing; packets to different destinations may
/// overtake one another.
///
/// It has more members than most types: the kernel's call takes that many arrays, each allocated once.
@safe @usableFromInline
struct TransmitQueue: ~Copyable {
    /// Consecutive packets to one destination; group g has the 64 vectors from 64 g on.
    @usableFromInline
    struct Group {
        @usableFromInline var address: SocketAddress
        @usableFromInline var count: Int32
        @usableFromInline var byteCount: Int32
        /// The most packets of this length.
        @usableFromInline var limit: Int32
        /// The length of each packet except the last, which may be shorter; -1 if no more may follow.
        @usableFromInline var segmentSize: Int32
        /// Whether some of the packets are in send slots.
        @usableFromInline var hasSlots: Bool
        /// Whether the packets are sent one by one, because the kernel refused the segmented message.
        var isPlain: Bool
    }

    /// Where a message of the current system call begins.
    private struct Position {
        var group: Int
        var packet: Int
    }

    /// The most segments of one message that all kernels with UDP_SEGMENT accept.
    @usableFromInline static let maximumSegments = 64
    /// The largest payload of one segmented message that both address families accept.
    static let maximumBytes = 65_507 - 20
    /// The messages of one system call.
    private static let messagesPerCall = 64
    /// The number of destinations whose last group is found without a search.
    private static let recentCount = 64

    let groupCapacity: Int
    let sendSlotCount: Int
    let sendSlotSize: Int
    var isSegmenting: Bool
    /// Whether the kernel has accepted a segmented message: a later refusal then concerns one destination's route only.
    private var hasSegmented = false
    /// Whether the kernel reports the own address at which a message arrived.
    let tellsOwnAddresses: Bool
    private let owns: UnsafeMutablePointer<OwnAddress>
    private var ownCount = 0
    /// The addresses that all sockets of a group number alike; nil if the socket is in no group.
    private let sharedOwns: OwnAddresses?
    var isClosed = false
    /// Whether the queue waits for the socket to become writable.
    private(set) var isBlocked = false
    /// Whether arriving packets wait in the kernel.
    var isReceivePaused = false
    var counters = DatagramCounters()

    @usableFromInline var isListed = false
    var next: UnsafeMutablePointer<TransmitQueue>?

    private let descriptor: Int32
    /// The socket of a simulated network; nil if the queue has a descriptor.
    private let wire: SimulatedSocket?
    private let poll: UnsafeMutablePointer<uv_poll_t>
    private let pollCallback: uv_poll_cb
    private let list: UnsafeMutablePointer<TransmitList>

    @usableFromInline let groups: UnsafeMutablePointer<Group>
    /// The addresses and lengths of the groups' packets, as passed to the kernel.
    @usableFromInline let vectors: UnsafeMutablePointer<shim_vector>
    /// The send slot of each packet, or -1 for memory that is not a slot; valid only for groups that have slots.
    @usableFromInline let vectorSlots: UnsafeMutablePointer<Int32>
    /// For each hash of an address, the last group begun.
    private let recent: UnsafeMutablePointer<Int32>
    @usableFromInline var groupCount = 0
    /// The group of the last packet queued.
    @usableFromInline var last = 0

    private let slots: UnsafeMutableRawPointer
    private let freeSlots: UnsafeMutablePointer<Int32>
    private var freeSlotCount: Int

    private let messages: UnsafeMutablePointer<shim_message>
    private let positions: UnsafeMutablePointer<Position>
    private let names: UnsafeMutableRawPointer
    private let controls: UnsafeMutableRawPointer

    /// A queue for as many destinations and send slots as `configuration` sets.
    init(
        descriptor: Int32, wire: SimulatedSocket?, poll: UnsafeMutablePointer<uv_poll_t>,
        pollCallback: @escaping uv_poll_cb, list: UnsafeMutablePointer<TransmitList>, tellsOwnAddresses: Bool,
        sharedOwns: OwnAddresses?, configuration: DatagramSocket.Configuration
    ) {
        self.tellsOwnAddresses = tellsOwnAddresses
        self.sharedOwns = sharedOwns
        unsafe owns = .allocate(capacity: tellsOwnAddresses ? OwnAddresses.limit : 1)
        self.descriptor = descriptor
        self.wire = wire
        unsafe self.poll = poll
        unsafe self.pollCallback = pollCallback
        unsafe self.list = list
        sendSlotCount = configuration.sendSlotCount
        sendSlotSize = (configuration.sendSlotSize + 63) & ~63
        groupCapacity = max(configuration.groupCapacity, 1)
        isSegmenting = configuration.usesSegmentation

        // The arrays are not initialized before use, so unused parts take no memory.
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

    /// The number of the own address at which a message arrived, from 1; 0 if it is not reported or has no place.
    mutating func ownAddress(of header: UnsafePointer<msghdr>) -> UInt8 {
        var found = OwnAddress()
        guard unsafe shim_received_own_address(header, &found) != 0 else { return 0 }
        if let number = number(of: found) { return number }
        guard ownCount < OwnAddresses.limit else { return 0 }
        if let sharedOwns {
            sharedOwns.add(found)
            copySharedOwns()
        } else {
            addOwn(found)
        }
        return number(of: found) ?? 0
    }

    private func number(of own: OwnAddress) -> UInt8? {
        for place in 0..<ownCount where unsafe owns[place] == own { return UInt8(place + 1) }
        return nil
    }

    private mutating func addOwn(_ own: OwnAddress) {
        unsafe (owns + ownCount).initialize(to: own)
        ownCount += 1
    }

    /// Copies the addresses that other sockets of the group have found.
    private mutating func copySharedOwns() {
        guard tellsOwnAddresses, let sharedOwns else { return }
        for own in sharedOwns.after(ownCount) { addOwn(own) }
    }

    // MARK: - Send slots

    /// Takes a send slot, after a flush if necessary; nil if none is free, as while the socket takes no packets.
    mutating func takeSlot() -> Int32? {
        guard !isClosed else { return nil }
        // A socket that takes nothing tells when it does; until then a flush is a system call in vain.
        if freeSlotCount == 0, !isBlocked { flush() }
        guard freeSlotCount > 0 else {
            counters.droppedWithoutSlot += 1
            return nil
        }
        freeSlotCount -= 1
        return unsafe freeSlots[freeSlotCount]
    }

    /// The memory of a send slot.
    func slotMemory(_ slot: Int32) -> UnsafeMutableRawPointer { unsafe slots + Int(slot) * sendSlotSize }

    /// Returns a send slot to the pool.
    @usableFromInline
    mutating func releaseSlot(_ slot: Int32) {
        assert(freeSlotCount < sendSlotCount, "a slot was given back twice")
        unsafe freeSlots[freeSlotCount] = slot
        freeSlotCount += 1
    }

    // MARK: - Queueing

    /// Queues one packet; `slot`, or -1 for none, is returned to the pool after the packet was sent or dropped.
    ///
    /// Memory other than a send slot must stay valid until the flush.
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

    /// Room for up to `count` packets of `length` bytes outside of send slots, and for at least one.
    ///
    /// There is no room if the first is dropped, which is counted. The caller must fill all of it with the packets'
    /// addresses before it uses the queue again.
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

    /// Whether the group of the last packet queued can take a packet like it, as it almost always can.
    ///
    /// A closed queue has no groups, and an ended group's length matches none.
    @inlinable @inline(__always)
    func isLastGroup(for length: Int, _ address: SocketAddress) -> Bool {
        guard last < groupCount, unsafe groups[last].segmentSize == Int32(truncatingIfNeeded: length) else {
            return false
        }
        return unsafe groups[last].address == address
    }

    /// Records that packets of `length` bytes were added to a group; a shorter one than the others is its last.
    @inlinable @inline(__always)
    mutating func grow(_ group: UnsafeMutablePointer<Group>, by packets: Int, _ length: Int) {
        unsafe group.pointee.count &+= Int32(truncatingIfNeeded: packets)
        unsafe group.pointee.byteCount &+= Int32(truncatingIfNeeded: packets &* length)
        if unsafe Int(group.pointee.segmentSize) != length || group.pointee.count == group.pointee.limit {
            unsafe group.pointee.segmentSize = -1
        }
        if !isListed { enlist() }
    }

    /// Records the slot of the packet at `place`, if its group has or gets slots.
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

    /// Finds or begins a group if the last one cannot take the packet: another destination, another length, or no
    /// group.
    ///
    /// Returns false if the packet is dropped, which is counted.
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
        // An empty datagram cannot be a segment.
        let limit = length == 0 ? 1 : min(Self.maximumSegments, max(1, Self.maximumBytes / length))
        unsafe groups[groupCount] = Group(
            address: address, count: 0, byteCount: 0, limit: Int32(truncatingIfNeeded: limit),
            segmentSize: Int32(truncatingIfNeeded: length), hasSlots: false, isPlain: false)
        unsafe recent[place] = Int32(truncatingIfNeeded: groupCount)
        last = groupCount
        groupCount += 1
        return true
    }

    /// Requests a flush, even if packets wait for a writable socket: packets outside of send slots cannot wait.
    @usableFromInline @inline(never)
    mutating func enlist() {
        isListed = true
        unsafe next = list.pointee.first
        unsafe list.pointee.first = selfPointer
    }

    /// The address at which the queue lives; set once, right after its initialization there.
    var selfPointer: UnsafeMutablePointer<TransmitQueue>?

    // MARK: - Sending

    /// Sends everything; packets that the socket cannot take now stay queued if they are in send slots, and are dropped
    /// otherwise.
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
                // A message with several vectors is a segmented one.
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

    /// Passes the first `count` messages to the kernel: how many were accepted, or a negative errno.
    private func send(_ count: Int) -> Int {
        if let wire { return unsafe wire.send(messages, count) }
        return unsafe Int(shim_send_messages(descriptor, messages, UInt32(truncatingIfNeeded: count)))
    }

    /// Prepares the messages of one call; advances `position` past them and returns their number.
    private mutating func fill(from position: inout Position) -> Int {
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
            // The two types have the same layout.
            unsafe message.pointee.header.msg_iov = UnsafeMutableRawPointer(vector).assumingMemoryBound(to: iovec.self)
            let left = unsafe Int(group.pointee.count) - position.packet
            let length = isSegmented ? left : 1
            unsafe message.pointee.header.msg_iovlen = length
            let own = unsafe Int(group.pointee.address.own)
            // Another socket of the group has found it.
            if own > ownCount { copySharedOwns() }
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

    /// Counts a message's packets and returns their slots.
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
                // The kernel accepts these packets one by one but not as segments: do not try again.
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

    /// Keeps the packets in send slots from `position` on until the socket is writable, and drops the others.
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
        // The groups' indices have changed.
        last = groupCount
        unsafe recent.update(repeating: -1, count: Self.recentCount)
        if isBlocked != (keptGroups > 0) {
            isBlocked = keptGroups > 0
            startPolling()
        }
    }

    /// Polls for reading, unless that is paused, and for writing while packets wait.
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
