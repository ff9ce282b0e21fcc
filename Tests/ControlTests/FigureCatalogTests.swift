import Glibc
import Testing

@testable import Control

/// A value other than zero, of the kind of `entry`.
private func sample(_ entry: FigureEntry, _ number: Int) -> FigureContent {
    switch entry.style {
    case .text: .text(entry.choices.last ?? "text \(number)")
    case .truth: .truth(true)
    case .reasons: .reasons(["one": UInt64(number), "two": 3])
    case .times: .list([Double(number), 2, 5])
    case .each, .shares: .each([UInt64(number), 2])
    case .duration, .seconds, .milliseconds, .percent: .number(Double(number))
    case .count, .bytes, .hours, .date, .fee, .sesh: .count(UInt64(number))
    }
}

/// A report that has every figure.
private var fullReport: StatusReport {
    var report = StatusReport(role: .relay, version: "1")
    for (place, entry) in FigureCatalog.all.enumerated() {
        report.set(entry, to: sample(entry, 1_000_003 * (place + 7)))
    }
    return report
}

private func metrics(_ report: StatusReport) -> String {
    var metrics = OpenMetrics()
    metrics.add([report])
    return metrics.text
}

/// A file of the repository is missing.
private struct Missing: Error { let file: String }

/// The text of a file of the repository.
private func file(_ name: String) throws -> String {
    let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    guard let stream = unsafe fopen("/\(root)/\(name)", "r") else { throw Missing(file: name) }
    defer { unsafe fclose(stream) }
    var text: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while case let count = unsafe fread(&chunk, 1, chunk.count, stream), count > 0 { text += chunk[..<count] }
    return String(decoding: text, as: UTF8.self)
}

/// The metric names in `text`.
private func names(in text: String) -> Set<String> {
    let words = text.split(whereSeparator: { !(($0.isASCII && $0.isLowercase) || $0 == "_") }).map(String.init)
    return Set(words.filter { $0.hasPrefix("tunic_") || $0.hasPrefix("process_") })
}

private let sampleNames = Set(
    FigureCatalog.all.compactMap { $0.metric.map { $0.name + $0.kind.suffix } } + ["tunic_build_info"])

@Suite struct FigureCatalogTests {
    @Test("Each figure is in every output that the catalogue names, and in no other")
    func everyFigureIsInEveryOutput() {
        var report = fullReport
        // A draining relay reports no other state.
        report.draining = false
        let (line, text, top, figures, page) = (
            json(report), report.text, report.topLines.figures, metrics(report), FigureCatalog.json
        )
        for entry in FigureCatalog.all {
            var other = report
            other.set(entry, to: entry.key == "draining" ? .truth(true) : nil)
            #expect(json(other) != line && line.contains("\"\(entry.path.name)\":"), "\(entry.key)")
            #expect(other.text != text, "\(entry.key): tunic status")
            #expect((other.topLines.figures != top) == (entry.top != nil), "\(entry.key): tunic top")
            #expect((metrics(other) != figures) == (entry.metric != nil), "\(entry.key): OpenMetrics")
            let path = [entry.path.object, entry.path.name].compactMap(\.self).map { "\"\($0)\"" }
            #expect(page.contains("\"path\":[\(path.joined(separator: ","))]"), "\(entry.key): the page")
        }
    }

    @Test("A report comes back from its JSON with each figure")
    func allFiguresSurviveTheWay() {
        #expect(ControlLine.decode(StatusReport.self, from: ControlLine.encode(fullReport).dropLast()) == fullReport)
        let unknown =
            #"{"role":"client","socks":[],"version":"9","links":1,"total":{"packets_in":2,"more":[]},"new":{}}"#
        let report = ControlLine.decode(StatusReport.self, from: Array(unknown.utf8))
        #expect(report?.links == 1 && report?.packetsIn == 2 && report?.bytesIn == nil)
    }

    @Test("No two figures share a key or a sample; those of a metric agree on what it is")
    func namesAreUnique() {
        #expect(Set(FigureCatalog.all.map(\.key)).count == FigureCatalog.all.count)
        let samples = metrics(fullReport).split(separator: "\n").filter { !$0.hasPrefix("#") }.map {
            $0.split(separator: " ")[0]
        }
        #expect(Set(samples).count == samples.count)
        var families: [String: FigureEntry] = [:]
        for entry in FigureCatalog.all {
            guard let metric = entry.metric else { continue }
            let first = families[metric.name] ?? entry
            families[metric.name] = first
            #expect(first.help == entry.help && first.metric?.kind == metric.kind, "\(entry.key)")
            #expect(first.metric?.label?.name == metric.label?.name, "\(entry.key)")
            #expect(entry.help.hasSuffix("."), "\(entry.key)")
        }
    }

    @Test("K6: labels name roles, directions, reasons, results, kinds of tests and workers alone")
    func k6Labels() {
        let labels = metrics(fullReport).split(separator: "\n").filter { !$0.hasPrefix("#") }.flatMap { line in
            line.matches(of: /([a-z]+)="/).map { String($0.1) }
        }
        #expect(
            Set(labels).isSubset(of: [
                "role", "version", "direction", "reason", "result", "test", "quantile", "state", "worker",
            ]))
    }

    @Test(
        "Each metric that the operator guide, the alert rules and the dashboard name is in the catalogue",
        arguments: ["docs/operator-guide.md", "contrib/prometheus-alerts.yml", "contrib/grafana-dashboard.json"])
    func namedMetricsExist(_ name: String) throws {
        var text = try file(name)
        if name.hasSuffix(".md") {
            text = text.split(separator: "\n").filter { $0.hasPrefix("| `tunic_") }.joined(separator: "\n")
        }
        #expect(names(in: text).count > 10)
        #expect(names(in: text).subtracting(sampleNames) == [])
        for match in text.matches(of: /tunic_registry_state\{state=\\?"([a-z]+)/) {
            #expect(RegistryStanding(rawValue: String(match.1)) != nil)
        }
    }

    @Test("The rows of a report, as tunic status and the status page have them")
    func rows() {
        var report = StatusReport(role: .relay, version: "1")
        (report.watched, report.dead, report.testsPassed, report.testsBegun, report.testsFailed) = (5, 1, 9, 12, 0)
        (report.snapshotHeight, report.snapshotDigest, report.snapshotNodes) = (8, "abc", 3)
        (report.builds, report.failedBuilds, report.buildTimes) = (4, 0, [3, 1, 2.25])
        report.drops = ["late": 2, "early": 7]
        report.total = .init(packetsIn: 3, bytesIn: 1_500)
        report.setRate(.init(bytesIn: 20))
        report.stake = 1_500_000_000
        (report.workerLoad, report.workerHandedOn) = (EachWorker([12, 97]), EachWorker([0, 0]))
        (report.workerPacketsIn, report.workerPacketsOut) = (EachWorker([5, 900]), EachWorker([7, 800]))
        report.sinceClient = 61.26
        let rows = Dictionary(report.rows.map { ($0.title, $0.text) }) { _, _ in "twice" }
        let expected = [
            "nodes watched": "5, 1 of them dead; 9 of 12 tests passed",
            "snapshot": "height 8, abc, 3 nodes, no list of descriptors yet", "paths built": "4, 0 failed",
            "build time": "median 2.3 ms, longest 3.0 ms", "dropped": "9 (early 7, late 2)",
            "received": "3 packets, 1.5 kB, 20 B/s, 0 packets/s", "stake": "1.5 SESH", "client or test": "61 s ago",
            "workers": "12 %, 97 % of a core, received 5, 900, sent 7, 800",
            "sent": "0 packets, 0 B, 0 B/s, 0 packets/s",
        ]
        #expect(rows == expected)
        #expect(json(report).contains("\"since_client_s\":61.3"))
    }
}
