/// Ranges of offsets, apart from each other and in order; empty ones cost nothing.
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

    /// Adds `low..<high`, joining what it touches.
    mutating func insert(_ low: UInt64, _ high: UInt64) {
        guard low < high else { return }
        let index = position(low)
        guard index < runs.count, runs[index].low <= high else {
            runs.insert(Run(low: low, high: high), at: index)
            return
        }
        var end = index + 1
        while end < runs.count, runs[end].low <= high { end += 1 }
        let joined = Run(low: min(low, runs[index].low), high: max(high, runs[end - 1].high))
        runs[index] = joined
        if end > index + 1 { runs.removeSubrange(index + 1..<end) }
    }

    /// Takes `low..<high` out.
    mutating func remove(_ low: UInt64, _ high: UInt64) {
        guard low < high else { return }
        var index = position(low)
        while index < runs.count, runs[index].low < high {
            let run = runs[index]
            if run.high <= low {
                index += 1
            } else if run.low < low, run.high > high {
                runs[index].high = low
                runs.insert(Run(low: high, high: run.high), at: index + 1)
                return
            } else if run.low < low {
                runs[index].high = low
                index += 1
            } else if run.high > high {
                runs[index].low = high
                return
            } else {
                runs.remove(at: index)
            }
        }
    }

    /// Takes out everything, and the storage too.
    mutating func removeAll() { runs = [] }
}
