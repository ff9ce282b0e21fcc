/// The packets of one receive call, where the kernel put them.
///
/// They may be changed in place, and sent from where they lie: ``forward(_:from:length:to:on:)`` queues a packet without a copy.
/// The memory is valid until the callback that got the batch returns; all that was queued, on whatever socket of the loop, is sent
/// right after that. So a packet must not be changed any more once it has been queued. Packets of one run follow each other in
/// memory, and each begins at a multiple of its run's segment size from a 64-byte boundary.
@safe
public struct ReceivedBatch: ~Copyable {
    /// How many packets there are; at least one.
    public let count: Int
    @usableFromInline let packets: UnsafeMutablePointer<ReceivedPacket>
    private let sources: UnsafeMutablePointer<SocketAddress>
    private let ends: UnsafeMutablePointer<Int>

    init(count: Int, area: ReceiveArea) {
        self.count = count
        unsafe packets = area.packets
        unsafe sources = area.sources
        unsafe ends = area.ends
    }

    /// The number behind the packets that follow packet `index` in its run and have its length, itself included.
    ///
    /// A run is what the kernel has put together: packets from one address, of one length but for the last, which may be shorter.
    public func end(ofRunFrom index: Int) -> Int {
        precondition(index >= 0 && index < count, "no such packet")
        let end = unsafe ends[Int(packets[index].run)]
        return unsafe packets[end - 1].length == packets[index].length ? end : end - 1
    }

    /// Where packet `index` came from.
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

    /// The bytes of packet `index`, to read and to change.
    @inlinable @inline(__always)
    @_lifetime(&self)
    public mutating func packet(_ index: Int) -> MutableRawSpan {
        precondition(index >= 0 && index < count, "no such packet")
        let packet = unsafe packets[index]
        let span = unsafe MutableRawSpan(_unsafeStart: packet.bytes, byteCount: Int(packet.length))
        return unsafe _overrideLifetime(span, mutating: &self)
    }

    /// Where packet `index` lies, for callers that keep raw addresses until the flush.
    @unsafe @inlinable @inline(__always)
    public func address(of index: Int) -> UnsafeMutableRawPointer {
        precondition(index >= 0 && index < count, "no such packet")
        return unsafe packets[index].bytes
    }

    /// Queues packet `index`, or `length` bytes of it from `offset` on, to be sent from where it lies.
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
