/// The packets of one receive call, in the receive memory.
///
/// They may be changed in place, and sent without a copy: ``forward(_:from:length:to:on:)`` queues a packet. The memory
/// is valid until the callback that got the batch returns; right after that all queued packets are sent, on every
/// socket of the loop. A packet must therefore not be changed after it was queued. Packets of one run are contiguous,
/// and each begins at a multiple of the run's segment size from a 64-byte boundary.
@safe
public struct ReceivedBatch: ~Copyable {
    /// The number of packets, at least 1.
    public let count: Int
    @usableFromInline let packets: UnsafeMutablePointer<ReceivedPacket>
    private let sources: UnsafeMutablePointer<SocketAddress>
    private let ends: UnsafeMutablePointer<Int>

    init(count: Int, area: ReceiveArea) {
        unsafe self.init(count: count, packets: area.packets, sources: area.sources, ends: area.ends)
    }

    init(
        count: Int, packets: UnsafeMutablePointer<ReceivedPacket>, sources: UnsafeMutablePointer<SocketAddress>,
        ends: UnsafeMutablePointer<Int>
    ) {
        self.count = count
        unsafe self.packets = packets
        unsafe self.sources = sources
        unsafe self.ends = ends
    }

    /// One more than the index of the last packet that follows packet `index` in its run and has the same length.
    ///
    /// A run is coalesced by the kernel: packets from one address, of one length except the last, which may be shorter.
    public func end(ofRunFrom index: Int) -> Int {
        precondition(index >= 0 && index < count, "no such packet")
        let end = unsafe ends[Int(packets[index].run)]
        return unsafe packets[end - 1].length == packets[index].length ? end : end - 1
    }

    /// The source of packet `index`.
    public func source(of index: Int) -> SocketAddress {
        precondition(index >= 0 && index < count, "no such packet")
        return unsafe sources[Int(packets[index].run)]
    }

    /// The length of packet `index` in bytes; may be 0.
    @inlinable @inline(__always)
    public func length(of index: Int) -> Int {
        precondition(index >= 0 && index < count, "no such packet")
        return unsafe Int(packets[index].length)
    }

    /// The bytes of packet `index`, which may be changed.
    @inlinable @inline(__always)
    @_lifetime(&self)
    public mutating func packet(_ index: Int) -> MutableRawSpan {
        precondition(index >= 0 && index < count, "no such packet")
        let packet = unsafe packets[index]
        let span = unsafe MutableRawSpan(_unsafeStart: packet.bytes, byteCount: Int(packet.length))
        return unsafe _overrideLifetime(span, mutating: &self)
    }

    /// The address of packet `index` in memory, for callers that keep raw pointers until the flush.
    @unsafe @inlinable @inline(__always)
    public func address(of index: Int) -> UnsafeMutableRawPointer {
        precondition(index >= 0 && index < count, "no such packet")
        return unsafe packets[index].bytes
    }

    /// Queues packet `index`, or `length` bytes of it from `offset` on, without a copy.
    ///
    /// `socket` is any socket of the same loop. A range outside of the packet traps.
    public func forward(
        _ index: Int, from offset: Int = 0, length: Int? = nil, to address: SocketAddress, on socket: DatagramSocket
    ) {
        precondition(index >= 0 && index < count, "no such packet")
        let packet = unsafe packets[index]
        let length = length ?? (Int(packet.length) - offset)
        precondition(
            offset >= 0 && length >= 0 && offset <= Int(packet.length) - length, "a range outside of the packet")
        unsafe socket.queue(packet.bytes + offset, length: length, to: address)
    }
}
