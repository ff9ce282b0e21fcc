internal import CShims
internal import EventLoop

/// Returns unused memory of the process's heap to the kernel.
///
/// Streams that waited for a reader, or for another path, leave unused pages between used ones; the C library returns
/// only those at the heap's end.
final class HeapTrim {
    /// The shortest time between two trims, in nanoseconds.
    private static let interval: UInt64 = 20_000_000_000
    /// The smallest amount of memory worth a trim, in bytes.
    private static let worth = 1 << 20

    private let loop: Loop
    private var nextTime: UInt64
    /// The least free memory since the last trim; this much was unused all the time.
    private var leastFree = Int.max

    /// Trims only after ``look()`` is called.
    init(on loop: Loop) {
        self.loop = loop
        nextTime = loop.now + Self.interval
    }

    /// Trims the heap on another thread if enough memory was unused; call it every second.
    func look() {
        let free = Int(shim_free_heap())
        leastFree = min(leastFree, free)
        guard free - leastFree >= Self.worth, loop.now >= nextTime else { return }
        nextTime = loop.now + Self.interval
        leastFree = free
        loop.work({ shim_trim_heap() }, completion: {})
    }
}
