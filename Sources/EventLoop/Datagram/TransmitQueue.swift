import CLibUV
import CShims
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
@safe
struct TransmitQueue: ~Copyable {
    /// One packet.
    @safe
    private struct Entry {
        var bytes: UnsafeRawPointer
        var length: Int32
        /// The send slot to give back, or -1 for memory of someone else's.
        var slot: Int32
        /// The next entry of the group, or -1.
        var next: Int32
    }

    /// Consecutive packets to one destination.
    private struct Group {
        var address: SocketAddress
        var first: Int32
        var last: Int32
        var count: Int32
        var byteCount: Int32
        var segmentSize: Int32
        var isFull: Bool
        /// Sent packet by packet, after the kernel refused the segmented message.
        var isPlain: Bool
    }

    /// Where a message of the present system call begins.
    private struct Position {
        var group: Int
        var entry: Int32
    }

    /// The most segments of one message that all kernels with UDP_SEGMENT take.
    static let maximumSegments = 64
    /// The most payload of one segmented message that both address families take.
    static let maximumBytes = 65_507 - 20
    /// The messages of one system call.
    private static let messagesPerCall = 64
    /// Destinations whose last group is found at once.
    private static let recentCount = 64

    let capacity: Int
    let sendSlotCount: Int
    let sendSlotSize: Int
    var isSegmenting: Bool
    var isClosed = false
    /// Whether the queue waits for the socket to become writable.
    private(set) var isBlocked = false
    var counters = DatagramCounters()

    var isListed = false
    var next: UnsafeMutablePointer<TransmitQueue>?

    private let descriptor: Int32
    private let poll: UnsafeMutablePointer<uv_poll_t>
    private let pollCallback: uv_poll_cb
    private let list: UnsafeMutablePointer<TransmitList>

    private let entries: UnsafeMutablePointer<Entry>
    private let groups: UnsafeMutablePointer<Group>
    private let kept: UnsafeMutablePointer<(entry: Entry, address: SocketAddress)>
    private let recent: UnsafeMutablePointer<Int32>
    private var entryCount = 0
    private var groupCount = 0

    private let slots: UnsafeMutableRawPointer
    private let freeSlots: UnsafeMutablePointer<Int32>
    private var freeSlotCount: Int

    private let messages: UnsafeMutablePointer<shim_message>
    private let positions: UnsafeMutablePointer<Position>
    private let vectors: UnsafeMutablePointer<iovec>
    private let names: UnsafeMutableRawPointer
    private let controls: UnsafeMutableRawPointer

    /// A queue for `capacity` packets, `sendSlotCount` of which may lie in slots of its own.
    init(
        descriptor: Int32, poll: UnsafeMutablePointer<uv_poll_t>, pollCallback: @escaping uv_poll_cb,
        list: UnsafeMutablePointer<TransmitList>, configuration: DatagramSocket.Configuration
    ) {
        self.descriptor = descriptor
        unsafe self.poll = poll
        unsafe self.pollCallback = pollCallback
        unsafe self.list = list
        sendSlotCount = configuration.sendSlotCount
        sendSlotSize = (configuration.sendSlotSize + 63) & ~63
        capacity = configuration.queueCapacity + sendSlotCount
        isSegmenting = configuration.usesSegmentation

        unsafe entries = .allocate(capacity: capacity)
        unsafe groups = .allocate(capacity: capacity)
        unsafe kept = .allocate(capacity: max(sendSlotCount, 1))
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
        unsafe vectors = .allocate(capacity: calls * Self.maximumSegments)
        unsafe names = .allocate(byteCount: calls * SocketAddress.storageSize, alignment: 8)
        unsafe controls = .allocate(byteCount: calls * SHIM_CONTROL_SIZE, alignment: 8)
    }

    deinit {
        unsafe entries.deallocate()
        unsafe groups.deallocate()
        unsafe kept.deallocate()
        unsafe recent.deallocate()
        unsafe slots.deallocate()
        unsafe freeSlots.deallocate()
        unsafe messages.deallocate()
        unsafe positions.deallocate()
        unsafe vectors.deallocate()
        unsafe names.deallocate()
        unsafe controls.deallocate()
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
    mutating func releaseSlot(_ slot: Int32) {
        assert(freeSlotCount < sendSlotCount, "a slot was given back twice")
        unsafe freeSlots[freeSlotCount] = slot
        freeSlotCount += 1
    }

    // MARK: - Queueing

    /// Queues one packet; `slot` is given back when it has been sent or dropped.
    ///
    /// Memory that is no send slot must stay valid until the flush.
    mutating func append(_ bytes: UnsafeRawPointer, length: Int, slot: Int32, to address: SocketAddress) {
        guard !isClosed, length <= Int(UInt16.max) else {
            counters.droppedOversize += 1
            if slot >= 0 { releaseSlot(slot) }
            return
        }
        // A flush leaves at most the send slots' packets, which are fewer than the capacity.
        if entryCount == capacity { flush() }
        let index = Int32(truncatingIfNeeded: entryCount)
        entryCount += 1
        let length = Int32(truncatingIfNeeded: length)
        unsafe entries[Int(index)] = Entry(bytes: bytes, length: length, slot: slot, next: -1)

        let mixed = (address.low ^ (address.high &* 31) ^ UInt64(address.port) << 40) &* 0x9e37_79b9_7f4a_7c15
        let place = Int(truncatingIfNeeded: mixed >> 58)
        let candidate = unsafe Int(recent[place])
        if candidate >= 0, candidate < groupCount, unsafe join(groups + candidate, address, index, length) { return }

        unsafe groups[groupCount] = Group(
            address: address, first: index, last: index, count: 1, byteCount: length, segmentSize: length,
            isFull: length == 0, isPlain: false)
        unsafe recent[place] = Int32(truncatingIfNeeded: groupCount)
        groupCount += 1
        if !isListed {
            isListed = true
            unsafe next = list.pointee.first
            unsafe list.pointee.first = selfPointer
        }
    }

    /// The address at which the queue lives; set once, right after it has been put there.
    var selfPointer: UnsafeMutablePointer<TransmitQueue>?

    private func join(
        _ group: UnsafeMutablePointer<Group>, _ address: SocketAddress, _ index: Int32, _ length: Int32
    ) -> Bool {
        guard unsafe !group.pointee.isFull, unsafe group.pointee.address == address, length > 0,
            unsafe length <= group.pointee.segmentSize,
            unsafe Int(group.pointee.byteCount) + Int(length) <= Self.maximumBytes
        else { return false }
        unsafe entries[Int(group.pointee.last)].next = index
        unsafe group.pointee.last = index
        unsafe group.pointee.count += 1
        unsafe group.pointee.byteCount += length
        unsafe group.pointee.isFull =
            length < group.pointee.segmentSize || Int(group.pointee.count) == Self.maximumSegments
        return true
    }

    // MARK: - Sending

    /// Sends everything; what the socket cannot take now stays queued if it lies in send slots, and is dropped otherwise.
    mutating func flush() {
        guard groupCount > 0 else { return }
        var start = unsafe Position(group: 0, entry: groups[0].first)
        while start.group < groupCount {
            var end = start
            let count = fill(from: &end)
            counters.sendCalls += 1
            let sent = unsafe Int(shim_send_messages(descriptor, messages, UInt32(truncatingIfNeeded: count)))
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
        entryCount = 0
        groupCount = 0
        if isBlocked {
            isBlocked = false
            startPolling()
        }
    }

    /// Prepares the messages of one call; moves `position` behind them and returns their number.
    private func fill(from position: inout Position) -> Int {
        var count = 0
        var vectorCount = 0
        while count < Self.messagesPerCall, position.group < groupCount {
            let group = unsafe groups + position.group
            let isSegmented = unsafe isSegmenting && !group.pointee.isPlain
            unsafe positions[count] = position
            let message = unsafe messages + count
            let vector = unsafe vectors + vectorCount
            let name = unsafe names + count * SocketAddress.storageSize
            unsafe message.pointee.header.msg_name = name
            unsafe message.pointee.header.msg_namelen = socklen_t(
                truncatingIfNeeded: group.pointee.address.store(to: name))
            unsafe message.pointee.header.msg_iov = vector
            var length = 0
            var index = position.entry
            repeat {
                let entry = unsafe entries + Int(index)
                unsafe vector[length].iov_base = UnsafeMutableRawPointer(mutating: entry.pointee.bytes)
                unsafe vector[length].iov_len = Int(entry.pointee.length)
                length += 1
                index = unsafe entry.pointee.next
            } while isSegmented && index >= 0
            unsafe message.pointee.header.msg_iovlen = length
            if length > 1 {
                unsafe shim_set_segment_size(
                    &message.pointee.header, controls + count * SHIM_CONTROL_SIZE,
                    UInt16(truncatingIfNeeded: group.pointee.segmentSize))
            } else {
                unsafe message.pointee.header.msg_control = nil
                unsafe message.pointee.header.msg_controllen = 0
            }
            vectorCount += length
            count += 1
            if index >= 0 {
                position.entry = index
            } else {
                position.group += 1
                position.entry = unsafe position.group < groupCount ? groups[position.group].first : -1
            }
        }
        return count
    }

    /// Counts a message's packets and gives their slots back.
    private mutating func finish(message: Int, isSent: Bool) {
        var index = unsafe positions[message].entry
        let count = unsafe Int(messages[message].header.msg_iovlen)
        if isSent {
            counters.packetsSent += UInt64(truncatingIfNeeded: count)
            counters.messagesSent += 1
            let group = unsafe positions[message].group
            if unsafe isSegmenting && groups[group].isPlain && groups[group].count > 1 {
                // The kernel takes these packets one by one, but not as segments: never ask again.
                isSegmenting = false
            }
        }
        for _ in 0..<count {
            let entry = unsafe entries[Int(index)]
            if isSent { counters.bytesSent += UInt64(truncatingIfNeeded: entry.length) }
            if entry.slot >= 0 { releaseSlot(entry.slot) }
            index = entry.next
        }
    }

    /// Keeps the packets of send slots from `position` on for when the socket is writable, and drops the others.
    private mutating func keep(from position: Position) {
        var keptCount = 0
        for group in position.group..<groupCount {
            var index = group == position.group ? position.entry : unsafe groups[group].first
            while index >= 0 {
                let entry = unsafe entries[Int(index)]
                if entry.slot < 0 {
                    counters.droppedBlocked += 1
                } else {
                    unsafe kept[keptCount] = (entry, groups[group].address)
                    keptCount += 1
                }
                index = entry.next
            }
        }
        entryCount = 0
        groupCount = 0
        let wasListed = isListed
        isListed = true
        for index in 0..<keptCount {
            let (packet, address) = unsafe kept[index]
            unsafe append(packet.bytes, length: Int(packet.length), slot: packet.slot, to: address)
        }
        isListed = wasListed
        if isBlocked != (keptCount > 0) {
            isBlocked = keptCount > 0
            startPolling()
        }
    }

    /// Polls for reading, and while packets wait also for writing.
    func startPolling() {
        let events = UV_READABLE.rawValue | (isBlocked ? UV_WRITABLE.rawValue : 0)
        unsafe uv_poll_start(poll, Int32(events), pollCallback)
    }
}
