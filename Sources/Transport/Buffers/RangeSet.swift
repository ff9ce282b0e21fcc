/// Disjoint ranges of offsets in ascending order; an empty set allocates nothing.
struct RangeSet {
    struct Run: BitwiseCopyable, Equatable {
        var low: UInt64
        var high: UInt64
    }

    private(set) var runs: [Run] = []

    init() {}

    var isEmpty: Bool { runs.isEmpty }
    var count: Int { runs.count }
    var first: Run? { runs.first }
    var last: Run? { runs.last }

    /// The index of the first run that ends at or after `offset`.
    private func position(_ offset: UInt64) -> Int {
        // New runs mostly belong at the end.
        if let last = runs.last, last.high < offset { return runs.count }
        var low = 0
        var high = runs.count
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].high < offset { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Whether `insert` of this range would add a run.
    func wouldAdd(_ low: UInt64, _ high: UInt64) -> Bool {
        let index = position(low)
        return index == runs.count || runs[index].low > high
    }

    func contains(_ offset: UInt64) -> Bool { !overlapping(offset, offset + 1).isEmpty }

    /// The runs that overlap `low..<high`, found by binary search.
    func overlapping(_ low: UInt64, _ high: UInt64) -> ArraySlice<Run> {
        // A run that ends where the range begins does not overlap it.
        var start = position(low)
        if start < runs.count, runs[start].high == low { start += 1 }
        var end = start
        while end < runs.count, runs[end].low < high { end += 1 }
        return runs[start..<end]
    }

    /// Adds `low..<high` and merges it with its neighbours; returns how many offsets are new.
    @discardableResult
    mutating func insert(_ low: UInt64, _ high: UInt64) -> UInt64 {
        guard low < high else { return 0 }
        let index = position(low)
        guard index < runs.count, runs[index].low <= high else {
            runs.insert(Run(low: low, high: high), at: index)
            return high - low
        }
        var before = runs[index].high - runs[index].low
        var end = index + 1
        while end < runs.count, runs[end].low <= high {
            before += runs[end].high - runs[end].low
            end += 1
        }
        let joined = Run(low: min(low, runs[index].low), high: max(high, runs[end - 1].high))
        runs[index] = joined
        if end > index + 1 { runs.removeSubrange(index + 1..<end) }
        return joined.high - joined.low - before
    }

    /// Removes `low..<high`.
    mutating func remove(_ low: UInt64, _ high: UInt64) {
        guard low < high else { return }
        var start = position(low)
        if start < runs.count, runs[start].high == low { start += 1 }
        guard start < runs.count, runs[start].low < high else { return }
        if runs[start].low < low {
            let end = runs[start].high
            runs[start].high = low
            start += 1
            if end > high { return runs.insert(Run(low: high, high: end), at: start) }
        }
        var end = start
        while end < runs.count, runs[end].high <= high { end += 1 }
        if end < runs.count, runs[end].low < high { runs[end].low = high }
        if end > start { runs.removeSubrange(start..<end) }
    }

    /// Removes everything and frees the storage.
    mutating func removeAll() { runs = [] }
}
