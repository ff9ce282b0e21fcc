/// Values in places that never move, found by one array access; memory grows in chunks.
///
/// A place has a generation, which is odd while the place holds a value and changes with each value.
@safe @usableFromInline
struct PlaceStore<Value: ~Copyable>: ~Copyable {
    @inlinable static var perChunk: Int { 64 }

    /// The address of each chunk; allocated for the largest number, and initialized as chunks are added.
    @usableFromInline let chunks: UnsafeMutablePointer<UnsafeMutablePointer<Value>>
    @usableFromInline let generations: UnsafeMutablePointer<UInt32>
    /// The most values, for which the two above have room.
    private let maximum: Int
    /// How many places have memory.
    @usableFromInline var capacity = 0
    private var free: [UInt32] = []

    /// An empty store for at most `maximum` values.
    init(maximum: Int) {
        self.maximum = maximum
        let count = (maximum + Self.perChunk - 1) / Self.perChunk
        unsafe chunks = .allocate(capacity: count)
        // Neither is initialized before its use, so unused parts take no memory.
        unsafe generations = .allocate(capacity: count * Self.perChunk)
    }

    @inlinable
    deinit {
        for place in 0..<UInt32(capacity) where isLive(place) { unsafe pointer(place).deinitialize(count: 1) }
        for chunk in 0..<capacity / Self.perChunk { unsafe chunks[chunk].deallocate() }
        unsafe generations.deallocate()
        unsafe chunks.deallocate()
    }

    /// How many values it holds.
    var count: Int { capacity - free.count }
    /// Whether it holds the maximum.
    var isFull: Bool { count >= maximum }

    /// Puts a value into a free place and returns the place; traps if the store is full.
    ///
    /// A caller that counts a value as gone before its place is free must refuse new values until then.
    mutating func insert(_ value: consuming Value) -> UInt32 {
        precondition(!isFull, "the store holds as many values as it has room for")
        if free.isEmpty { addChunk() }
        let place = free.removeLast()
        unsafe pointer(place).initialize(to: value)
        enterNextGeneration(place)
        return place
    }

    /// Takes the value out of a place that holds one.
    mutating func remove(_ place: UInt32) -> Value {
        precondition(isLive(place), "no value in this place")
        enterNextGeneration(place)
        free.append(place)
        return unsafe pointer(place).move()
    }

    @inlinable
    func isLive(_ place: UInt32) -> Bool { place < UInt32(truncatingIfNeeded: capacity) && generation(place) & 1 == 1 }

    /// The generation of a place, which must have memory.
    @inlinable @inline(__always)
    func generation(_ place: UInt32) -> UInt32 {
        precondition(place < UInt32(truncatingIfNeeded: capacity), "no such place")
        return unsafe generations[Int(place)]
    }

    /// The value in a place, which must hold one.
    @inlinable @inline(__always)
    func pointer(_ place: UInt32) -> UnsafeMutablePointer<Value> {
        unsafe chunks[Int(place / UInt32(Self.perChunk))] + Int(place % UInt32(Self.perChunk))
    }

    private func enterNextGeneration(_ place: UInt32) { unsafe generations[Int(place)] = generation(place) &+ 1 }

    private mutating func addChunk() {
        let first = UInt32(capacity)
        let chunk = UnsafeMutablePointer<Value>.allocate(capacity: Self.perChunk)
        unsafe (chunks + capacity / Self.perChunk).initialize(to: chunk)
        unsafe (generations + capacity).initialize(repeating: 0, count: Self.perChunk)
        capacity += Self.perChunk
        free.append(contentsOf: (first..<first + UInt32(Self.perChunk)).reversed())
    }
}
