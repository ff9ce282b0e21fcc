internal import OnionCrypto

/// The path ids that one worker has given to neighbours, each with the link that may use it and the half that it names.
///
/// Places are drawn from at least as many free places as used ones, so that two ids do not show that they belong to one
/// path. Finding an id costs no hash. Memory grows with the ids in use, in chunks that never move.
@safe @usableFromInline
struct PathIDTable: ~Copyable {
    @usableFromInline
    struct Record {
        @usableFromInline var random: UInt32 = 0
        @usableFromInline var link: UInt32 = 0
        /// The half's place times two, plus 1 for a backward half; `none` if the place is free.
        @usableFromInline var target: UInt32 = PathIDTable.none
    }

    @usableFromInline static let none = UInt32.max
    @usableFromInline static let perChunk = 4_096
    /// The most places, limited by the index in a path id: four for each of 2^21 paths.
    private static let maximum: UInt32 = 1 << 23

    @usableFromInline let worker: UInt8
    /// The address of each chunk; allocated for the largest number, so that finding one is a shift and a load.
    @usableFromInline let chunks: UnsafeMutablePointer<UnsafeMutablePointer<Record>>
    @usableFromInline var count: UInt32 = 0
    private var sequence = PathIDSequence()
    private var free: [UInt32] = []
    private var used = 0

    init(worker: UInt8) {
        self.worker = worker
        unsafe chunks = .allocate(capacity: Int(Self.maximum) / Self.perChunk)
    }

    @inlinable
    deinit {
        for chunk in 0..<Int(count) / Self.perChunk { unsafe chunks[chunk].deallocate() }
        unsafe chunks.deallocate()
    }

    /// The half that `id` names on `link`: the half's place times two, plus 1 for a backward half; `none` if the id is
    /// not in use there.
    @inlinable @inline(__always)
    func find(link: UInt32, id: UInt64) -> UInt32 {
        let place = PathID.index(of: id)
        guard place < count, PathID.worker(of: id) == worker else { return Self.none }
        let record = unsafe pointer(place).pointee
        guard record.target != Self.none, record.link == link, record.random == PathID.random(of: id) else {
            return Self.none
        }
        return record.target
    }

    /// Takes a place at random, with random bits that were not used before; returns the id.
    mutating func take(link: UInt32, target: UInt32) -> UInt64 {
        if free.count <= max(used, 2), count < Self.maximum { addChunk() }
        free.swapAt(Int(SecureRandom.u64() % UInt64(free.count)), free.count - 1)
        let place = free.removeLast()
        var random = sequence.next()
        if PathID.make(worker: worker, index: place, random: random) == 0 { random = sequence.next() }
        unsafe pointer(place).pointee = Record(random: random, link: link, target: target)
        used += 1
        return PathID.make(worker: worker, index: place, random: random)
    }

    /// Frees an id that is in use.
    mutating func release(_ id: UInt64) {
        let place = PathID.index(of: id)
        unsafe pointer(place).pointee = Record()
        free.append(place)
        used -= 1
    }

    @inlinable @inline(__always)
    func pointer(_ place: UInt32) -> UnsafeMutablePointer<Record> {
        unsafe chunks[Int(place / UInt32(Self.perChunk))] + Int(place % UInt32(Self.perChunk))
    }

    private mutating func addChunk() {
        let chunk = UnsafeMutablePointer<Record>.allocate(capacity: Self.perChunk)
        unsafe chunk.initialize(repeating: Record(), count: Self.perChunk)
        unsafe (chunks + Int(count) / Self.perChunk).initialize(to: chunk)
        free.append(contentsOf: count..<count + UInt32(Self.perChunk))
        count += UInt32(Self.perChunk)
    }
}
