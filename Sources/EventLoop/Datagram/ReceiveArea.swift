import CShims
import Glibc

/// A received packet: part of a slot.
@safe @usableFromInline
struct ReceivedPacket {
    @usableFromInline var bytes: UnsafeMutableRawPointer
    @usableFromInline var length: Int32
    /// The message that contained it.
    @usableFromInline var run: Int32

    init(bytes: UnsafeMutableRawPointer, length: Int32, run: Int32) {
        unsafe self.bytes = bytes
        self.length = length
        self.run = run
    }
}

/// The receive memory of a loop's datagram sockets, used by one socket at a time.
@safe
final class ReceiveArea {
    /// Slots, each for one datagram or one run of coalesced datagrams.
    static let slotCount = 16
    /// The largest datagram or run.
    static let slotSize = 65_536
    /// The distance of slots: more than the size, so that the first cache lines of all slots do not share cache sets.
    private static let slotStride = slotSize + 22 * 64
    /// A run with more segments is malformed: the kernel coalesces at most 64, and passes on at most 128.
    private static let maximumSegments = 128

    let messages: UnsafeMutablePointer<shim_message>
    let sources: UnsafeMutablePointer<SocketAddress>
    let packets: UnsafeMutablePointer<ReceivedPacket>
    /// For each message, one more than the index of its last packet.
    let ends: UnsafeMutablePointer<Int>
    private let slots: UnsafeMutableRawPointer
    private let vectors: UnsafeMutablePointer<iovec>
    private let names: UnsafeMutableRawPointer
    private let controls: UnsafeMutableRawPointer

    init() {
        let count = Self.slotCount
        unsafe messages = .allocate(capacity: count)
        unsafe messages.initialize(repeating: shim_message(), count: count)
        unsafe sources = .allocate(capacity: count)
        unsafe packets = .allocate(capacity: count * Self.maximumSegments)
        unsafe ends = .allocate(capacity: count)
        unsafe slots = .allocate(byteCount: count * Self.slotStride, alignment: 64)
        unsafe vectors = .allocate(capacity: count)
        unsafe names = .allocate(byteCount: count * SocketAddress.storageSize, alignment: 8)
        unsafe controls = .allocate(byteCount: count * SHIM_CONTROL_SIZE, alignment: 8)
        for index in 0..<count {
            unsafe vectors[index] = iovec(iov_base: slots + index * Self.slotStride, iov_len: Self.slotSize)
            unsafe messages[index].header.msg_iov = vectors + index
            unsafe messages[index].header.msg_iovlen = 1
            unsafe messages[index].header.msg_name = names + index * SocketAddress.storageSize
            unsafe messages[index].header.msg_control = controls + index * SHIM_CONTROL_SIZE
            prepare(index)
        }
    }

    deinit {
        unsafe messages.deallocate()
        unsafe sources.deallocate()
        unsafe packets.deallocate()
        unsafe ends.deallocate()
        unsafe slots.deallocate()
        unsafe vectors.deallocate()
        unsafe names.deallocate()
        unsafe controls.deallocate()
    }

    /// Resets the fields of a message's header that the kernel overwrites.
    private func prepare(_ index: Int) {
        unsafe messages[index].header.msg_namelen = socklen_t(SocketAddress.storageSize)
        unsafe messages[index].header.msg_controllen = SHIM_CONTROL_SIZE
    }

    /// Calls recvmmsg once and returns the number of messages, or a negative errno.
    func receive(_ descriptor: Int32) -> Int {
        unsafe Int(shim_receive_messages(descriptor, messages, UInt32(Self.slotCount)))
    }

    /// Splits the first `count` messages, received by the socket of `queue`, into packets, and returns their number.
    func split(_ count: Int, for queue: UnsafeMutablePointer<TransmitQueue>) -> Int {
        precondition(count <= Self.slotCount)
        var packetCount = 0
        for index in 0..<count {
            let length = unsafe Int(messages[index].length)
            let header = unsafe messages + index
            let name = unsafe names + index * SocketAddress.storageSize
            let segment = unsafe Int(shim_received_segment_size(&header.pointee.header))
            let isCut = unsafe header.pointee.header.msg_flags & Int32(MSG_TRUNC) != 0
            var source = unsafe SocketAddress(sockaddr: name, length: Int(header.pointee.header.msg_namelen))
            if unsafe queue.pointee.tellsOwnAddresses {
                source?.own = unsafe queue.pointee.ownAddress(of: &header.pointee.header)
            }
            prepare(index)
            let size = segment > 0 ? segment : max(length, 1)
            guard let source, !isCut, length <= Self.slotSize, length <= size * Self.maximumSegments else {
                unsafe queue.pointee.counters.droppedMalformed += 1
                continue
            }
            unsafe sources[index] = source
            unsafe queue.pointee.counters.runsReceived += 1
            unsafe queue.pointee.counters.bytesReceived += UInt64(truncatingIfNeeded: length)
            var bytes = unsafe slots + index * Self.slotStride
            let run = Int32(truncatingIfNeeded: index)
            var left = length
            while left > size {
                unsafe (packets + packetCount).initialize(
                    to: ReceivedPacket(bytes: bytes, length: Int32(truncatingIfNeeded: size), run: run))
                packetCount &+= 1
                unsafe bytes += size
                left &-= size
            }
            unsafe (packets + packetCount).initialize(
                to: ReceivedPacket(bytes: bytes, length: Int32(truncatingIfNeeded: left), run: run))
            packetCount &+= 1
            unsafe ends[index] = packetCount
            assert(left >= 0 && packetCount <= (index + 1) * Self.maximumSegments, "a run is cut inside its memory")
        }
        unsafe queue.pointee.counters.packetsReceived += UInt64(truncatingIfNeeded: packetCount)
        return packetCount
    }
}
