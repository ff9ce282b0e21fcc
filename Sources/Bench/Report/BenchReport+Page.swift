internal import Glibc

extension BenchReport {
    /// The report as an HTML page: tables, throughput over time and the latency distribution, without outside
    /// resources.
    public var page: String {
        let charts = (Direction.allCases.compactMap(throughputChart) + [latencyChart].compactMap { $0 }).map(\.svg)
        let notes = faults.map { "<li>\(escaped($0))</li>" }
        return """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="color-scheme" content="light dark">
            <title>tunic bench</title>
            <style>
            \(Self.style)
            </style>
            </head>
            <body>
            <h1>tunic bench</h1>
            <p>\(escaped(conditions))</p>
            \(host.warning.map { "<p><b>\(escaped("Note: \($0)"))</b>.</p>" } ?? "")
            \(notes.isEmpty ? "" : "<h2>Not measured</h2>\n<ul>\(notes.joined())</ul>")
            \(charts.joined(separator: "\n"))
            \(tables.map(Self.html).joined(separator: "\n"))
            <p>\(escaped(advice))</p>
            <p>MB is 10⁶ bytes, GiB is 2³⁰ bytes. “least” is the stream that got fewest bytes. CPU time of the benchmark itself, \
            which is both ends of every stream, stands apart. Every byte was checked.</p>
            </body>
            </html>

            """
    }

    private static let style = """
        :root { --back: #fff; --text: #1a1a1a; --dim: #667; --grid: #dde; --0: #0b63c5; --1: #c2410c; --2: #15803d;
          --3: #7e22ce; --4: #a16207; --5: #be185d }
        @media (prefers-color-scheme: dark) { :root { --back: #14161a; --text: #e6e6e6; --dim: #9aa; --grid: #333842;
          --0: #62a8ff; --1: #ff9d66; --2: #5fd38d; --3: #c59bff; --4: #e3c15a; --5: #ff86bd } }
        body { background: var(--back); color: var(--text); font: 15px/1.5 system-ui, sans-serif; max-width: 820px;
          margin: 2em auto; padding: 0 1em }
        h1, h2, figcaption { line-height: 1.2 } h2, figcaption { font-size: 1.1em; font-weight: 600; margin: 1.6em 0 .5em }
        figure { margin: 0 } svg { width: 100%; height: auto; display: block }
        svg text { fill: var(--dim); font-size: 12px } svg .axis { text-anchor: middle }
        .grid { stroke: var(--grid); fill: none } .line { fill: none; stroke-width: 1.8; stroke-linejoin: round }
        .line.c0 { stroke: var(--0) } .line.c1 { stroke: var(--1) } .line.c2 { stroke: var(--2) }
        .line.c3 { stroke: var(--3) } .line.c4 { stroke: var(--4) } .line.c5 { stroke: var(--5) }
        figure ul { list-style: none; display: flex; flex-wrap: wrap; gap: 1.2em; padding: 0; margin: .2em 0 0 }
        li.c0::before { background: var(--0) } li.c1::before { background: var(--1) } li.c2::before { background: var(--2) }
        li.c3::before { background: var(--3) } li.c4::before { background: var(--4) } li.c5::before { background: var(--5) }
        figure li::before { content: ""; display: inline-block; width: 1em; height: .25em; margin-right: .4em;
          vertical-align: middle }
        .wide { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
        th, td { text-align: right; padding: .2em .8em .2em 0; border-bottom: 1px solid var(--grid); white-space: nowrap }
        th:first-child, td:first-child { text-align: left } th { color: var(--dim); font-weight: 500 }
        """

    private static func html(_ table: ReportTable) -> String {
        func row(_ cells: [String], _ tag: String) -> String {
            let missing = table.head.count - cells.count
            let texts = cells.enumerated().map { index, cell in
                let span = index == cells.count - 1 && missing > 0 ? " colspan=\"\(missing + 1)\"" : ""
                return "<\(tag)\(span)>\(escaped(cell))</\(tag)>"
            }
            return "<tr>\(texts.joined())</tr>"
        }
        let rows = [row(table.head, "th")] + table.rows.map { row($0, "td") }
        return
            "<h2>\(escaped(table.title))</h2>\n<div class=\"wide\"><table>\(rows.joined(separator: "\n"))</table></div>"
    }

    private func throughputChart(_ direction: Direction) -> Chart? {
        let lines = throughput.filter { $0.direction == direction }.compactMap { one -> Chart.Line? in
            guard let ticks = one.ticks, !ticks.isEmpty else { return nil }
            return Chart.Line(name: one.title, points: ticks.map { ($0.at, $0.rate) })
        }
        guard !lines.isEmpty else { return nil }
        let points = lines.flatMap(\.points)
        return Chart(
            title: "Throughput over time, \(direction.rawValue)", xTitle: "seconds", yTitle: "MB/s",
            xMarks: Chart.marks(to: (points.map(\.x).max() ?? 1) * 0.98),
            yMarks: Chart.marks(to: points.map(\.y).max() ?? 1),
            lines: lines)
    }

    /// A chart of times by percentile.
    ///
    /// The x axis is the number of nines of the percentile, the y axis is logarithmic.
    private var latencyChart: Chart? {
        let lines = latency.compactMap { one -> Chart.Line? in
            guard let points = one.distribution, !points.isEmpty else { return nil }
            return Chart.Line(
                name: one.title,
                points: points.map { (-log10(1 - $0.percentile / 100), log10(max($0.time, 1))) })
        }
        guard !lines.isEmpty else { return nil }
        let points = lines.flatMap(\.points)
        let lastNine = Int(((points.map(\.x).max() ?? 2) - 0.05).rounded(.up))
        let names = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %", "99.99999 %"]
        let (low, high) = (points.map(\.y).min() ?? 0, points.map(\.y).max() ?? 1)
        let magnitudes = Int(low.rounded(.down))...max(Int(high.rounded(.up)), Int(low.rounded(.down)) + 1)
        let times = ["1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s", "1000 s"]
        return Chart(
            title: "Latency of one byte there and back, by percentile", xTitle: "of all round trips took no longer",
            yTitle: "time",
            xMarks: names.prefix(lastNine + 1).enumerated().map { Chart.Mark(at: Double($0), text: $1) },
            yMarks: magnitudes.filter(times.indices.contains).map { Chart.Mark(at: Double($0), text: times[$0]) },
            lines: lines)
    }
}
