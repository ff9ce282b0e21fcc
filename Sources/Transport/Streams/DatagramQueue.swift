internal import Wire

/// Datagrams waiting to be sent: a queue of lengths beside a ring of bytes.
struct DatagramQueue: ~Copyable {
    struct Entry: BitwiseCopyable {
        var flow: UInt64
        var length: Int
    }

    /// The cost of each datagram in the budget in addition to its bytes.
    private static let overhead = 32

    private var entries = Ring<Entry>()
    private var ring = ByteRing()
    private var low: UInt64 = 0
    private var high: UInt64 = 0
    /// How many bytes of the first datagram have been sent in fragments.
    private(set) var sentOfFirst = 0
    private(set) var message: UInt64 = 0

    init() {}

    var isEmpty: Bool { entries.isEmpty }
    var memory: Int { ring.capacity + entries.capacity * 16 }
    var first: Entry? { entries.isEmpty ? nil : entries[entries.head] }

    mutating func append(flow: UInt64, _ bytes: RawSpan, budget: Int, pool: inout BytePool) -> Bool {
        let held = Int(high - low)
        guard held + bytes.byteCount + (entries.count + 1) * Self.overhead <= budget else { return false }
        ring.write(bytes, at: high, keeping: low, pool: &pool)
        high += UInt64(bytes.byteCount)
        entries.append(Entry(flow: flow, length: bytes.byteCount))
        return true
    }

    /// Copies the next `count` bytes of the first datagram into the packet and advances.
    mutating func take(_ count: Int, into payload: inout MutableRawSpan, at position: Int, pool: inout BytePool) {
        ring.read(at: low, count: count, into: &payload, at: position)
        low += UInt64(count)
        sentOfFirst += count
        guard let first, sentOfFirst == first.length else { return }
        _ = entries.popFirst()
        sentOfFirst = 0
        message = (message + 1) & 0xffff_ffff
        if entries.isEmpty { ring.release(to: &pool) }
    }
}
