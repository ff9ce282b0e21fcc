internal import CShims
internal import EventLoop

/// Gives back to the kernel what the heap of the process has come to hold for nothing.
///
/// Streams that waited for a reader, or for another path, leave pages without use between others that are in use; the C library
/// gives back those at the heap's end alone.
final class HeapTrim {
    /// The most often that the heap is trimmed, in nanoseconds.
    private static let interval: UInt64 = 20_000_000_000
    /// How much must have become free, in bytes.
    private static let worth = 1 << 20

    private let loop: Loop
    private var nextTime: UInt64
    /// The least that was free since the last time: what is more has been used in between.
    private var leastFree = Int.max

    /// Trims nothing before ``look()`` is called.
    init(on loop: Loop) {
        self.loop = loop
        nextTime = loop.now + Self.interval
    }

    /// Trims the heap, on another thread, if that is due and worth it; to be called every second.
    func look() {
        let free = Int(shim_free_heap())
        leastFree = min(leastFree, free)
        guard free - leastFree >= Self.worth, loop.now >= nextTime else { return }
        nextTime = loop.now + Self.interval
        leastFree = free
        loop.work({ shim_trim_heap() }, completion: {})
    }
}
