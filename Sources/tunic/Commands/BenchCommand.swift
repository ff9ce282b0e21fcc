internal import ArgumentParser
internal import Bench
internal import Control
internal import Daemon
internal import Process
internal import Provision
internal import Wire

/// Measures a network of its own, a real network, or any SOCKS5 proxy.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure a network of its own, a real one, or any SOCKS5 proxy.",
        discussion: """
            Examples:
              tunic bench
              tunic bench --hops 2 --streams 1,16 --seconds 5 --json result.json --html result.html
              tunic bench --compare result.json
              tunic bench --socks 127.0.0.1:9050
              tunic bench --sink --listen 203.0.113.7:7000          # on the machine behind the exit, and then:
              tunic bench --network network.json --target 203.0.113.7:7000

            It measures throughput for each number of streams, the latency of one byte there and back, new connections per \
            second, path builds, and the CPU time and memory of the processes that it knows. Every byte is checked. If a stream \
            is refused, closed, stalled or corrupt, that is reported in place of a figure, and the status is 69. The table goes \
            to standard output, progress to standard error. Ctrl-C ends everything it started. Each figure is the median of \
            several windows, with the smallest and the largest in brackets; CPU seconds per GiB varies least. A comparison does \
            not change the status.
            """)

    @Option(help: "How many nodes a path has, 1 to 4 (default: 3).")
    var hops: Int?

    @Option(
        help: ArgumentHelp("Numbers of streams, separated by commas (default: 1,8,64).", valueName: "list"),
        transform: streamCounts)
    var streams: [Int]?

    @Option(
        help: "How long each window takes, 0.2 to 3600 seconds (default: 10 divided by --repeat, 1 at least).")
    var seconds: Double?

    @Option(
        name: .customLong("repeat"),
        help: "How many windows each measurement has, 1 to 20; the figures are medians (default: 3).")
    var repeats: Int?

    @Option(
        help: ArgumentHelp("Which way bytes go: down, up or both (default: both).", valueName: "direction"),
        transform: directions)
    var direction: [Direction]?

    @Option(
        help: ArgumentHelp(
            "What to measure, separated by commas: throughput, latency, connections, builds (default: all).",
            valueName: "list"),
        transform: measurements)
    var measure: [Benchmark.Measurement]?

    @Flag(help: "Give each stream a SOCKS user name, and so a path, of its own.")
    var isolate = false

    @Option(help: "After how many seconds without a byte a stream counts as stalled, 0.1 to 600 (default: 20).")
    var patience: Double?

    @Option(
        help: ArgumentHelp("Measure the SOCKS5 proxy at this address instead.", valueName: "address"),
        transform: option(SettingText.endpoint))
    var socks: Endpoint?

    @Option(
        help: ArgumentHelp("Measure the network of this file instead, with a client of its own.", valueName: "file"))
    var network: String?

    @Flag(help: "Measure a direct connection instead: the limit of the benchmark itself.")
    var direct = false

    @Option(
        help: ArgumentHelp("Where 'tunic bench --sink' listens, as the exit sees it.", valueName: "host:port"),
        transform: benchTarget)
    var target: Target?

    @Flag(help: "Be the source and sink behind the exit for others' benchmarks, until Ctrl-C.")
    var sink = false

    @Option(
        help: ArgumentHelp(
            "Where the sink listens; port 0 is a free one (default: 127.0.0.1:0).", valueName: "address"),
        transform: option(SettingText.endpoint))
    var listen: Endpoint?

    @Option(help: ArgumentHelp("Write everything as JSON; - is standard output, without tables.", valueName: "file"))
    var json: String?

    @Option(help: ArgumentHelp("Write a page with tables and charts.", valueName: "file"))
    var html: String?

    @Option(
        help: ArgumentHelp(
            "Print each figure beside that of an older run, the file of its --json, with their ratio.",
            valueName: "file"))
    var compare: String?

    mutating func validate() throws {
        if let repeats, !(1...20 ~= repeats) { throw ValidationError("--repeat \(repeats): use 1 to 20 windows") }
        if compare != nil, json == "-" || html == "-" {
            throw ValidationError("--compare prints a table and cannot be combined with --json - or --html -")
        }
        if let hops, !(1...4 ~= hops) { throw ValidationError("--hops \(hops): a path has 1 to 4 hops") }
        if let seconds, !(0.2...3600 ~= seconds) {
            throw ValidationError("--seconds \(seconds): use 0.2 to 3600 seconds")
        }
        if let patience, !(0.1...600 ~= patience) {
            throw ValidationError("--patience \(patience): use 0.1 to 600 seconds")
        }
        guard sink || listen == nil else { throw ValidationError("--listen needs --sink") }
        let chosen = [socks != nil ? "--socks" : nil, network != nil ? "--network" : nil, direct ? "--direct" : nil]
            .compactMap { $0 }
        guard chosen.count <= 1 else {
            throw ValidationError("\(chosen.joined(separator: " and ")) cannot be combined; give one of them")
        }
        if sink {
            let others: [Any?] = [
                target, hops, json, html, streams, seconds, direction, measure, patience, repeats, compare,
            ]
            guard chosen.isEmpty, !isolate, others.allSatisfy({ $0 == nil }) else {
                throw ValidationError("--sink measures nothing; the only other option it takes is --listen")
            }
        }
        if network != nil, target == nil {
            throw ValidationError(
                "--network needs --target HOST:PORT, where 'tunic bench --sink' listens behind the exits")
        }
        if chosen.isEmpty, target != nil {
            throw ValidationError(
                "--target needs --network, --socks or --direct; the benchmark's own network has its own")
        }
        if let first = chosen.first, first != "--network", hops != nil {
            throw ValidationError("--hops cannot be combined with \(first), for which the benchmark builds no paths")
        }
        if direct, let target, target.address == nil {
            throw ValidationError("--target \(target): --direct needs a numeric address")
        }
        if let first = chosen.first, first != "--network", measure?.contains(.builds) == true {
            throw ValidationError(
                "--measure builds cannot be combined with \(first), for which no builds are known")
        }
        if json == "-", html == "-" { throw ValidationError("--json - and --html - cannot be combined") }
    }

    func run() throws {
        try ProcessLimits.apply()
        if sink {
            return try BenchSink.run(at: listen ?? Endpoint(address: IPAddress(v4: 0x7f00_0001), port: 0)) {
                printNow($0)
            }
        }
        let older = try compare.map { try BenchRun.report(in: $0) }
        let run = try BenchRun(plan, subject, outputs: [json, html].compactMap(\.self))
        let (report, status) = try run.run()
        if let report { try show(report, older) }
        throw ExitCode(status)
    }

    /// The measurements to make.
    private var plan: Benchmark.Plan {
        var plan = Benchmark.Plan()
        if let streams { plan.streams = streams }
        if let direction { plan.directions = direction }
        if let measure { plan.measurements = Set(measure) }
        if let repeats { plan.repeats = repeats }
        plan.seconds = seconds ?? Benchmark.Plan.seconds(repeats: plan.repeats)
        if let patience { plan.patience = patience }
        plan.isolates = isolate
        return plan
    }

    /// The subject of the measurements.
    private var subject: BenchRun.Subject {
        if let socks {
            .proxy(socks, target)
        } else if let network, let target {
            .network(Files.absolute(network), target, hops: hops ?? 3)
        } else if direct {
            .direct(target)
        } else {
            .devnet(hops: hops ?? 3)
        }
    }

    /// Prints the report and writes its files.
    private func show(_ report: BenchReport, _ older: BenchReport?) throws(Failure) {
        if json != "-", html != "-" {
            let tables = report.tables.map { $0.lines.joined(separator: "\n") }
            print(([report.conditions] + tables + [report.advice]).joined(separator: "\n\n"))
            if let older { print("\n" + comparison(report, older).joined(separator: "\n")) }
        }
        if let json { try Files.write(json, Control.json(report) + "\n") }
        if let html { try Files.write(html, report.page) }
        let faults = report.faults
        guard !faults.isEmpty else { return }
        complain(
            faults.count == 1 ? faults[0] : "\(faults.count) measurements have no figure, \(faults[0]) is the first")
    }

    private func comparison(_ report: BenchReport, _ old: BenchReport) -> [String] {
        var lines = report.comparison(with: old).lines
        lines.append("then: \(compare ?? "-"), tunic \(old.version), \(old.date); now: tunic \(report.version)")
        let differences = report.differences(from: old)
        if !differences.isEmpty {
            lines.append("the two runs differ, so the ratios mean less: " + differences.joined(separator: "; "))
        }
        return lines
    }
}

/// Numbers of streams on the command line.
private func streamCounts(_ text: String) throws -> [Int] {
    let counts = text.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
    guard counts.count <= 16, counts.allSatisfy({ 1...Benchmark.streamLimit ~= $0 }) else {
        throw ValidationError(
            "'\(text)' is not a list of at most 16 numbers from 1 to \(Benchmark.streamLimit), such as 1,8,64")
    }
    guard Set(counts).count == counts.count else { throw ValidationError("'\(text)' names a number twice") }
    return counts
}

/// One or both directions on the command line.
private func directions(_ text: String) throws -> [Direction] {
    if text == "both" { return Direction.allCases }
    if let direction = Direction(rawValue: text) { return [direction] }
    throw ValidationError("'\(text)' is not a direction; use down, up or both")
}

/// Kinds of measurements on the command line.
private func measurements(_ text: String) throws -> [Benchmark.Measurement] {
    try text.split(separator: ",", omittingEmptySubsequences: false).map { name in
        if let measurement = Benchmark.Measurement(rawValue: String(name)) { return measurement }
        let known = Benchmark.Measurement.allCases.map(\.rawValue).joined(separator: ", ")
        throw ValidationError("'\(name)' is not a measurement; use one of: \(known)")
    }
}

/// A host and a port on the command line.
private func benchTarget(_ text: String) throws -> Target {
    if let target = Target(text) { return target }
    throw ValidationError("'\(text)' is not a host with a port, such as 203.0.113.7:7000 or sink.example:7000")
}
