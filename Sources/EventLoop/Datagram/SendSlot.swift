/// Memory for one packet made by this process, from a socket's bounded pool.
///
/// After `commit` the packet is sent at the next flush, and the slot then returns to the pool; a slot that is dropped
/// returns at once. It must not outlive its socket. The memory still holds the bytes of its last packet.
@safe
public struct SendSlot: ~Copyable {
    private let queue: UnsafeMutablePointer<TransmitQueue>
    private let slot: Int32
    private let base: UnsafeMutableRawPointer
    /// The requested size in bytes.
    public let size: Int

    init(queue: UnsafeMutablePointer<TransmitQueue>, slot: Int32, size: Int) {
        unsafe self.queue = queue
        self.slot = slot
        self.size = size
        unsafe base = queue.pointee.slotMemory(slot)
    }

    deinit { unsafe queue.pointee.releaseSlot(slot) }

    /// The bytes of the packet; they hold old data at first.
    public var bytes: MutableRawSpan {
        @_lifetime(&self)
        mutating get {
            let span = unsafe MutableRawSpan(_unsafeStart: base, byteCount: size)
            return unsafe _overrideLifetime(span, mutating: &self)
        }
    }

    /// Queues the first `length` bytes (nil: all) for `address`; more than the size traps.
    public consuming func commit(length: Int? = nil, to address: SocketAddress) {
        let length = length ?? size
        precondition(length >= 0 && length <= size, "more than the slot holds")
        let queue = unsafe self.queue
        let slot = self.slot
        let base = unsafe self.base
        discard self
        unsafe queue.pointee.append(base, length: length, slot: slot, to: address)
    }
}
