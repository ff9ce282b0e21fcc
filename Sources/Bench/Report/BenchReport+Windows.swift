internal import Texts

/// The median of the values that are present; for an even number the mean of the middle two.
///
/// Nil if there is none.
func median(_ values: [Double?]) -> Double? {
    let sorted = values.compactMap(\.self).sorted()
    guard !sorted.isEmpty else { return nil }
    return short((sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2)
}

/// A number rounded to three decimals, or to one from 1000 on, so that its text is short.
///
/// 0 if not finite.
func short(_ value: Double) -> Double {
    guard value.isFinite else { return 0 }
    let scale = value.magnitude >= 1000 ? 10.0 : 1000.0
    return (value * scale).rounded() / scale
}

/// The text of a figure, followed by the least and the most of several windows.
func spread(_ value: Double?, _ windows: [Double?]?) -> String {
    let found = (windows ?? []).compactMap(\.self)
    guard found.count > 1, let least = found.min(), let most = found.max() else { return figureText(value) }
    return "\(figureText(value)) (\(figureText(least))–\(figureText(most)))"
}

/// The first fault of several windows, with the number of its window.
private func firstFault(_ faults: [String?]) -> String? {
    guard let place = faults.firstIndex(where: { $0 != nil }), let text = faults[place] else { return nil }
    return faults.count == 1 ? text : "window \(place + 1) of \(faults.count): \(text)"
}

/// The window whose figure is the median; the lower of the middle two for an even number.
private func middle<Window>(_ windows: [Window], by figure: (Window) -> Double?) -> Window {
    windows.sorted { (figure($0) ?? 0) < (figure($1) ?? 0) }[(windows.count - 1) / 2]
}

extension BenchReport {
    /// Adds a window to the row of its kind, or adds a row.
    mutating func add(_ window: Throughput) {
        let isSame = { (row: Throughput) in row.streams == window.streams && row.direction == window.direction }
        guard let place = throughput.firstIndex(where: isSame) else { return throughput.append(window) }
        throughput[place] = .combined((throughput[place].windows ?? [throughput[place]]) + [window])
    }

    /// Adds a window to the row of its kind, or adds a row.
    mutating func add(_ window: Latency) {
        guard let place = latency.firstIndex(where: { $0.besides == window.besides }) else {
            return latency.append(window)
        }
        latency[place] = .combined((latency[place].windows ?? [latency[place]]) + [window])
    }

    /// Adds a window of new connections.
    mutating func add(_ window: Connections) {
        connections = connections.map { .combined(($0.windows ?? [$0]) + [window]) } ?? window
    }

    /// Drops the ticks and distributions of single windows, since each row keeps those of its middle window.
    ///
    /// To be called after the last window.
    mutating func closeWindows() {
        for row in throughput.indices {
            for place in (throughput[row].windows ?? []).indices { throughput[row].windows?[place].ticks = nil }
        }
        for row in latency.indices {
            for place in (latency[row].windows ?? []).indices { latency[row].windows?[place].distribution = nil }
        }
    }

    /// Adds a round of path builds.
    mutating func add(_ window: Builds) {
        builds = builds.map { .combined(($0.windows ?? [$0]) + [window]) } ?? window
    }
}

extension BenchReport.Throughput {
    /// The row of several windows: medians, and the other figures from the middle window.
    static func combined(_ windows: [Self]) -> Self {
        var one = middle(windows, by: \.rate)
        if let fault = firstFault(windows.map(\.fault)) {
            one = Self(streams: one.streams, direction: one.direction, fault: fault)
        }
        if one.fault == nil {
            one.rate = median(windows.map(\.rate))
            one.leastRate = median(windows.map(\.leastRate))
            one.cpu = median(windows.map(\.cpu))
            one.cpuOfBenchmark = median(windows.map(\.cpuOfBenchmark))
            // Only windows with the same roles count. If the path changed in a window, its nodes have no roles of their
            // own.
            let alike = windows.filter { $0.cpuByRole?.keys.sorted() == one.cpuByRole?.keys.sorted() }
            for role in one.cpuByRole?.keys.sorted() ?? [] {
                one.cpuByRole?[role] = median(alike.map { $0.cpuByRole?[role] })
            }
        }
        one.windows = windows
        return one
    }
}

extension BenchReport.Latency {
    /// The row of several windows: medians, the longest time of all, and the other figures from the middle window.
    static func combined(_ windows: [Self]) -> Self {
        var one = middle(windows, by: \.p50)
        if let fault = firstFault(windows.map(\.fault)) { one = Self(besides: one.besides, fault: fault) }
        if one.fault == nil {
            one.p50 = median(windows.map(\.p50))
            one.p99 = median(windows.map(\.p99))
            one.p999 = median(windows.map(\.p999))
            one.longest = windows.compactMap(\.longest).max()
            one.cpuEach = median(windows.map(\.cpuEach))
            one.besideRate = median(windows.map(\.besideRate))
        }
        one.windows = windows
        return one
    }
}

extension BenchReport.Connections {
    /// The row of several windows: medians, and the other figures from the middle window.
    static func combined(_ windows: [Self]) -> Self {
        var one = middle(windows, by: \.rate)
        if let fault = firstFault(windows.map(\.fault)) { one = Self(inFlight: one.inFlight, fault: fault) }
        if one.fault == nil {
            one.rate = median(windows.map(\.rate))
            one.p50 = median(windows.map(\.p50))
            one.p99 = median(windows.map(\.p99))
            one.p999 = median(windows.map(\.p999))
            one.cpuEach = median(windows.map(\.cpuEach))
        }
        one.windows = windows
        return one
    }
}

extension BenchReport.Builds {
    /// The row of several rounds: medians of the times, and the sums of the counts.
    static func combined(_ windows: [Self]) -> Self {
        var one = Self(fault: firstFault(windows.map(\.fault)))
        if one.fault == nil {
            one.count = windows.compactMap(\.count).reduce(0, +)
            one.failed = windows.compactMap(\.failed).reduce(0, +)
            one.p50 = median(windows.map(\.p50))
            one.p90 = median(windows.map(\.p90))
        }
        one.windows = windows
        return one
    }
}
