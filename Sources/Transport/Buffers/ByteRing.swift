/// Keeps released buffers for the next stream that needs one, so that a stream can return an empty buffer.
@safe
struct BytePool: ~Copyable {
    private static let smallestShift = 11
    private static let classes = 20
    private static let keptEach = 64
    private static let keptBytes = 1 << 20

    private var free: [[UnsafeMutableRawPointer]]
    /// Bytes kept for reuse.
    private(set) var kept = 0
    /// Bytes lent out.
    private(set) var lent = 0

    init() { unsafe free = Array(repeating: [], count: Self.classes) }

    deinit {
        for index in 0..<Self.classes {
            for position in unsafe 0..<free[index].count { unsafe free[index][position].deallocate() }
        }
    }

    /// The size that a request for `size` bytes gets: a power of two.
    static func capacity(for size: Int) -> Int {
        var capacity = 1 << smallestShift
        while capacity < size { capacity *= 2 }
        return capacity
    }

    private static func index(_ capacity: Int) -> Int { capacity.trailingZeroBitCount - smallestShift }

    /// Whether `take` would find a kept buffer of `capacity` bytes.
    func keeps(_ capacity: Int) -> Bool {
        let index = Self.index(capacity)
        return unsafe index < Self.classes && !free[index].isEmpty
    }

    mutating func take(_ capacity: Int) -> UnsafeMutableRawPointer {
        lent += capacity
        let index = Self.index(capacity)
        if index < Self.classes, let buffer = unsafe free[index].popLast() {
            kept -= capacity
            return unsafe buffer
        }
        return UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
    }

    mutating func give(_ buffer: UnsafeMutableRawPointer, _ capacity: Int) {
        lent -= capacity
        let index = Self.index(capacity)
        guard index < Self.classes, kept + capacity <= Self.keptBytes, unsafe free[index].count < Self.keptEach else {
            unsafe buffer.deallocate()
            return
        }
        kept += capacity
        unsafe free[index].append(buffer)
    }

    /// Frees kept buffers, the largest first, until no more bytes are kept than are lent out.
    mutating func trim() {
        for index in (0..<Self.classes).reversed() {
            while kept > lent, let buffer = unsafe free[index].popLast() {
                kept -= 1 << (index + Self.smallestShift)
                unsafe buffer.deallocate()
            }
        }
    }
}

/// Bytes of a stream, addressed by stream offset; holds no memory while it is empty.
///
/// The ring tracks which offsets it keeps and which were written. Every function that copies checks its lengths against
/// the ring's memory and traps, so no argument causes an access outside of it.
@safe
struct ByteRing: ~Copyable {
    /// The ring never keeps more bytes than this.
    private static let maximum: UInt64 = 1 << 40

    private var buffer: UnsafeMutableRawPointer?
    private(set) var capacity = 0
    /// The offset at the start of the memory: bytes that come into an empty ring are contiguous.
    private var origin: UInt64 = 0
    /// The first byte that is kept, as of the last write.
    private var low: UInt64 = 0
    /// The end of the highest byte written; `high - low` is at most `capacity`.
    private var high: UInt64 = 0
    /// The capacity at the last release.
    ///
    /// The next burst is likely to be as large. If the pool keeps a buffer of this size, the ring takes it at once and
    /// need not copy while it grows.
    private var expected: Int32 = 0

    init() { unsafe buffer = nil }

    deinit { unsafe buffer?.deallocate() }

    /// Copies bytes in at `offset`, and makes room for them while keeping the bytes from `first` on.
    ///
    /// `offset` must not be before `first`, and `first` never decreases. Bytes between the highest written one and
    /// `offset` are undefined.
    mutating func write(_ bytes: RawSpan, at offset: UInt64, keeping first: UInt64, pool: inout BytePool) {
        let count = bytes.byteCount
        guard count > 0 else { return }
        precondition(first >= low && offset >= first, "a ring is written behind what it keeps")
        let size = offset - first + UInt64(count)
        precondition(size <= Self.maximum, "a ring has bounds")
        if size > UInt64(capacity) { grow(to: Int(size), keeping: first, pool: &pool) }
        low = first
        high = max(high, offset + UInt64(count))
        let from = place(of: offset)
        let run = min(count, capacity - from)
        assert(isInside(from, run) && isInside(0, count - run), "a ring is written inside its memory")
        unsafe bytes.withUnsafeBytes { source in
            guard let base = source.baseAddress, let buffer = unsafe buffer else { return }
            unsafe buffer.advanced(by: from).copyMemory(from: base, byteCount: run)
            if run < count { unsafe buffer.copyMemory(from: base.advanced(by: run), byteCount: count - run) }
        }
    }

    /// Moves to a larger buffer for `size` bytes from `first` on, and copies the bytes that were written.
    private mutating func grow(to size: Int, keeping first: UInt64, pool: inout BytePool) {
        var larger = BytePool.capacity(for: size)
        if capacity == 0, larger < Int(expected), pool.keeps(Int(expected)) { larger = Int(expected) }
        let target = unsafe pool.take(larger)
        if let old = unsafe buffer {
            let held = high > first ? high - first : 0
            assert(held <= UInt64(capacity), "a ring keeps what it holds")
            let count = Int(min(held, UInt64(capacity)))
            let from = place(of: first)
            let run = min(count, capacity - from)
            assert(
                isInside(from, run) && isInside(0, count - run) && count <= larger, "a ring is copied inside its memory"
            )
            unsafe target.copyMemory(from: old.advanced(by: from), byteCount: run)
            unsafe target.advanced(by: run).copyMemory(from: old, byteCount: count - run)
            unsafe pool.give(old, capacity)
        }
        origin = first
        unsafe buffer = target
        capacity = larger
    }

    /// Returns the memory to the pool.
    mutating func release(to pool: inout BytePool) {
        guard let old = unsafe buffer else { return }
        unsafe pool.give(old, capacity)
        unsafe buffer = nil
        expected = Int32(truncatingIfNeeded: capacity)
        capacity = 0
        low = high
    }

    private func place(of offset: UInt64) -> Int { Int(truncatingIfNeeded: (offset &- origin) & UInt64(capacity - 1)) }

    private func isInside(_ place: Int, _ count: Int) -> Bool { place >= 0 && count >= 0 && count <= capacity - place }

    /// Whether the ring holds these bytes; if so, `count` is at most `capacity`.
    private func holds(_ offset: UInt64, _ count: Int) -> Bool {
        offset >= low && offset <= high && UInt64(count) <= high - offset
    }

    /// Copies `count` bytes at `offset` to `target`, starting at its byte `position`.
    func read(at offset: UInt64, count: Int, into target: inout MutableRawSpan, at position: Int) {
        guard count > 0 else { return }
        precondition(
            holds(offset, count) && position >= 0 && position <= target.byteCount - count,
            "a ring is read inside its bounds")
        let from = place(of: offset)
        let run = min(count, capacity - from)
        assert(isInside(from, run) && isInside(0, count - run), "a ring is read inside its memory")
        unsafe target.withUnsafeMutableBytes { target in
            guard let base = unsafe target.baseAddress?.advanced(by: position), let buffer = unsafe buffer else {
                return
            }
            unsafe base.copyMemory(from: buffer.advanced(by: from), byteCount: run)
            if run < count { unsafe base.advanced(by: run).copyMemory(from: buffer, byteCount: count - run) }
        }
    }

    /// Calls `body` with the contiguous bytes from `offset` on, at most `count`.
    func withBytes<Result>(at offset: UInt64, count: Int, _ body: (RawSpan) -> Result) -> Result {
        guard count > 0, let buffer = unsafe buffer else { return body(RawSpan()) }
        precondition(holds(offset, count), "a ring is read inside its bounds")
        let from = place(of: offset)
        let run = min(count, capacity - from)
        assert(isInside(from, run), "a ring is read inside its memory")
        let bytes = unsafe UnsafeRawBufferPointer(start: buffer.advanced(by: from), count: run)
        let span = unsafe RawSpan(_unsafeBytes: bytes)
        return body(span)
    }
}
