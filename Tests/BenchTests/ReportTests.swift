import FoundationEssentials
import Testing

@testable import Bench

/// A report in which each measurement has a figure or a fault.
private func sample() -> BenchReport {
    var report = BenchReport(
        version: "1.2.3", date: "2026-01-02T03:04:05Z", host: .init(cpu: "a <fast> one", cores: 2, kernel: "6.1"),
        settings: .init(subject: "a network", hops: 3, plan: Benchmark.Plan()))
    var down = BenchReport.Throughput(streams: 1, direction: .down)
    down.seconds = 1
    down.bytes = 1 << 27
    (down.rate, down.leastRate) = (134.217, 134.217)
    (down.cpu, down.cpuOfBenchmark) = (8, 0.9)
    down.cpuByRole = ["client": 3, "guard": 1, "middle": 1, "exit": 3]
    down.ticks = [.init(at: 0.5, rate: 100), .init(at: 1, rate: 168.4)]
    var up = BenchReport.Throughput(streams: 64, direction: .up)
    up.fault = "3 stalled (moved no byte in time)"
    report.throughput = [down, up]
    var idle = BenchReport.Latency(besides: 0)
    (idle.count, idle.p50, idle.p99, idle.longest, idle.cpuEach) = (500, 150.5, 300, 4000, 90)
    idle.distribution = [
        .init(percentile: 0, time: 90), .init(percentile: 90, time: 200), .init(percentile: 99, time: 300),
    ]
    report.latency = [idle]
    report.connections = .init(inFlight: 32, seconds: 1, count: 1234, rate: 1234, p50: 20_000, p99: 30_000)
    report.builds = .init(count: 80, failed: 1, p50: 4.5, p90: 6)
    report.memory = .init(idle: ["client": 12_000_000], peak: ["client": 30_000_000, "guard": 15_000_000])
    return report
}

private func object(_ report: BenchReport) throws -> [String: Any] {
    let data = try JSONEncoder().encode(report)
    return try #require(try JSONDecoder().decode(JSONValue.self, from: data).value as? [String: Any])
}

/// Any JSON, as dictionaries and arrays.
private struct JSONValue: Decodable {
    var value: Any

    init(from decoder: any Decoder) throws {
        let single = try decoder.singleValueContainer()
        if let object = try? single.decode([String: JSONValue].self) {
            value = object.mapValues(\.value)
        } else if let array = try? single.decode([JSONValue].self) {
            value = array.map(\.value)
        } else if let number = try? single.decode(Double.self) {
            value = number
        } else if let flag = try? single.decode(Bool.self) {
            value = flag
        } else {
            value = try single.decode(String.self)
        }
    }
}

@Test func theJSONHasEveryFigureUnderItsName() throws {
    let report = sample()
    let json = try object(report)
    #expect(
        Set(json.keys) == [
            "version", "date", "host", "settings", "throughput", "latency", "connections", "path_builds", "memory",
        ])
    let throughput = try #require(json["throughput"] as? [[String: Any]])
    #expect(
        Set(throughput[0].keys) == [
            "streams", "direction", "seconds", "bytes", "mb_per_s", "least_mb_per_s", "cpu_s_per_gib",
            "cpu_s_per_gib_by_role", "cpu_s_per_gib_benchmark", "over_time",
        ])
    #expect(Set(throughput[1].keys) == ["streams", "direction", "fault"])
    let latency = try #require(json["latency"] as? [[String: Any]])
    #expect(latency[0]["p50_us"] as? Double == 150.5)
    #expect(latency[0]["p999_us"] == nil)
    #expect((json["connections"] as? [String: Any])?["per_second"] as? Double == 1234)
    #expect((json["path_builds"] as? [String: Any])?["p90_ms"] as? Double == 6)
    let again = try JSONDecoder().decode(BenchReport.self, from: try JSONEncoder().encode(report))
    #expect(again == report)
}

@Test func faultsAreNamedAndHaveNoFigures() {
    let report = sample()
    #expect(report.faults == ["64 streams up: 3 stalled (moved no byte in time)"])
    let table = report.tables[0]
    #expect(table.rows[1] == ["64 streams up", "3 stalled (moved no byte in time)"])
    #expect(table.head == ["", "MB/s", "least", "CPU", "client", "guard", "middle", "exit", "benchmark"])
    #expect(table.rows[0].count == table.head.count)
}

@Test func tablesAlignTheirColumns() {
    let lines = sample().tables[0].lines
    #expect(lines[1].hasSuffix("benchmark"))
    #expect(lines[1].count == lines[2].count)
    #expect(lines[3] == "  64 streams up  3 stalled (moved no byte in time)")
}

@Test func thePageIsWholeAndNeedsNothingFromElsewhere() {
    let page = sample().page
    #expect(page.hasPrefix("<!DOCTYPE html>"))
    #expect(page.contains("a &lt;fast&gt; one"))
    #expect(page.contains("prefers-color-scheme: dark"))
    #expect(page.split(separator: "<svg").count == 3)
    for tag in ["table", "svg", "figure", "ul", "tr", "style", "body", "html"] {
        #expect(page.split(separator: "<\(tag)").count == page.split(separator: "</\(tag)>").count, "\(tag)")
    }
    for outside in ["http:", "https:", "<script", "<link", "@import", "url("] { #expect(!page.contains(outside)) }
    #expect(!page.contains("nan") && !page.contains("inf,"))
}

@Test(arguments: [0.0, 0.003, 0.9, 1, 7, 10, 123, 999, 100_000])
func axesReachTheirHighestValueInFewSteps(highest: Double) throws {
    let marks = Chart.marks(to: highest)
    #expect(2...8 ~= marks.count)
    #expect(marks.first?.at == 0)
    #expect(try #require(marks.last).at >= highest)
}

@Test("B: several windows are their medians") func severalWindowsAreTheirMedians() throws {
    var report = sample()
    report.throughput = []
    for (place, rate) in [300.0, 100, 200].enumerated() {
        var one = BenchReport.Throughput(streams: 1, direction: .down)
        (one.rate, one.leastRate, one.cpu, one.cpuByRole) = (rate, rate, Double(place), ["client": Double(place)])
        one.ticks = [.init(at: 1, rate: rate)]
        report.add(one)
        var other = BenchReport.Throughput(streams: 8, direction: .down)
        if place == 1 { other.fault = "1 stalled" } else { other.rate = rate }
        report.add(other)
    }
    report.closeWindows()
    #expect(report.throughput.map(\.streams) == [1, 8])
    let one = report.throughput[0]
    #expect(one.rate == 200 && one.cpu == 1 && one.cpuByRole == ["client": 1])
    #expect(one.ticks?.first?.rate == 200)
    #expect(one.windows?.map(\.rate) == [300, 100, 200] && one.windows?.allSatisfy { $0.ticks == nil } == true)
    #expect(report.tables[0].rows[0][1] == "200 (100–300)")
    // A measurement with a fault in one window has no figure.
    #expect(report.throughput[1].fault == "window 2 of 3: 1 stalled" && report.throughput[1].rate == nil)
    #expect(median([nil, 4, 1, 2, 3]) == 2.5 && median([nil]) == nil && median([7]) == 7)
}

@Test func anOlderRunStandsBesideWithItsRatio() throws {
    let old = sample()
    var new = sample()
    new.throughput[0].rate = 67.1085
    new.latency[0].cpuEach = nil
    new.host.cpu = "another"
    new.settings.repeats = nil
    let rows = new.comparison(with: old).rows
    #expect(rows.first == ["1 stream down, MB/s", "134", "67.1", "0.50"])
    #expect(!rows.contains { $0[0].contains("CPU each") && $0[0].contains("round trip") })
    // A measurement with a fault has no figure to compare.
    #expect(!rows.contains { $0[0].hasPrefix("64 streams") })
    let differences = new.differences(from: old)
    #expect(differences == ["processor: a <fast> one then, another now", "windows: 3 then, 1 now"])
    #expect(old.differences(from: old).isEmpty)
}

@Test("B: a busy machine is said") func aBusyMachineIsSaid() {
    var host = sample().host
    #expect(host.warning == nil)
    host.load = 0.5
    #expect(host.warning == nil)
    host.load = 2.19
    #expect(host.warning?.contains("load average 2.19 on 2 processors") == true)
    var report = sample()
    report.host = host
    #expect(report.page.contains("this machine is busy"))
}

@Test("B: the commit is the version's build metadata") func theCommitIsTheVersionsBuildMetadata() {
    let settings = sample().settings
    let report = BenchReport(version: "1.2.3+abc.modified", date: "", host: sample().host, settings: settings)
    #expect(report.commit == "abc.modified" && sample().commit == nil)
}

@Test func thePrintedTextEndsWithTheComparison() {
    let report = sample()
    let text = report.text(older: nil, file: "-")
    #expect(text.hasPrefix(report.conditions + "\n\n") && text.hasSuffix("\n\n" + report.advice))
    var old = sample()
    (old.version, old.settings.repeats) = ("1.2.2", 1)
    let lines = report.text(older: old, file: "old.json").split(separator: "\n").map(String.init)
    #expect(
        lines.suffix(2) == [
            "then: old.json, tunic 1.2.2, 2026-01-02T03:04:05Z; now: tunic 1.2.3",
            "the two runs differ, so the ratios mean less: windows: 1 then, 3 now",
        ])
    #expect(report.text(older: report, file: "old.json").hasSuffix("now: tunic 1.2.3"))
}

@Test func faultsAreCounted() {
    var report = sample()
    #expect(report.faultText == report.faults[0] && report.faults.count == 1)
    report.latency[0].fault = "1 closed"
    #expect(report.faultText == "2 measurements have no figure, \(report.faults[0]) is the first")
    report.throughput = []
    report.latency = []
    #expect(report.faultText == nil)
}
