internal import CMicro
internal import Glibc
internal import Wire

/// Measures batches of one operation: time, calls of the allocator, and under callgrind the part to be counted.
///
/// What stands between batches (packets to be made, paths to be built) is measured by none of them.
struct Meter {
    /// The first batches are left out: they fill caches, grow arrays and bind symbols.
    private static let warmup = 3

    private let wanted: Int
    private var batches = 0
    private var figures: [Double] = []
    private(set) var operations = 0
    private(set) var allocations: UInt64 = 0

    /// A meter for at least `operations` operations after the warm-up.
    init(operations: Int) {
        wanted = operations
        figures.reserveCapacity(1 << 16)
    }

    /// Whether another batch is wanted.
    var wantsMore: Bool { operations < wanted }

    /// Measures `batch`, which returns how many operations it was.
    mutating func measure(_ batch: () -> Int) {
        let isWarm = batches >= Self.warmup
        batches += 1
        let allocated = micro_allocations()
        if isWarm { micro_toggle() }
        let began = Self.now()
        let count = batch()
        let ended = Self.now()
        if isWarm { micro_toggle() }
        guard isWarm else { return }
        allocations += micro_allocations() - allocated
        operations += count
        if figures.count < figures.capacity { figures.append(Double(ended - began) / Double(max(count, 1))) }
    }

    /// The median over the batches, in nanoseconds an operation.
    var nanoseconds: Double {
        let sorted = figures.sorted()
        return sorted.isEmpty ? 0 : sorted[sorted.count / 2]
    }

    private static func now() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// The packets of a batch, one after the other in memory.
struct PacketArea {
    /// How many packets a batch has.
    static let count = 256

    let size: Int
    private(set) var bytes: [UInt8]

    /// Packets of `size` bytes.
    init(size: Int) {
        self.size = size
        bytes = [UInt8](repeating: 0x5a, count: size * Self.count)
    }

    /// All of them; packet n begins at n times `size`.
    var span: MutableRawSpan {
        @_lifetime(&self) mutating get { bytes.mutableRawSpan }
    }
}

extension MutableRawSpan {
    /// Packet `number` of an area whose packets have `size` bytes.
    @_lifetime(&self)
    mutating func packet(_ number: Int, _ size: Int) -> MutableRawSpan {
        _mutatingExtracting(number * size..<(number + 1) * size)
    }
}
