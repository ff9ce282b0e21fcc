internal import ArgumentParser
internal import Bench
internal import Daemon
internal import Provision
internal import Wire

/// Measures a network of its own, a real network, or any SOCKS5 proxy.
///
/// It has more members than most types: one for each option.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure a network of its own, a real one, or any SOCKS5 proxy.",
        discussion: """
            Examples:
              tunic bench
              tunic bench --hops 2 --streams 1,16 --seconds 5 --json result.json --html result.html
              tunic bench --compare result.json
              tunic bench --raise-limits --measure connections
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

    @Flag(
        name: .customLong("raise-limits"),
        help: ArgumentHelp(
            "Give the benchmark's own network limits that it does not reach.",
            discussion: """
                By default it has those of every network, which bound new connections: 200 streams a second and key, 1,000 \
                at once.
                """))
    var raisesLimits = false

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
    var target: ProxyTarget?

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

    /// The options as the benchmark takes them.
    private var choices: BenchChoices {
        var choices = BenchChoices()
        (choices.hops, choices.streams, choices.seconds, choices.repeats) = (hops, streams, seconds, repeats)
        (choices.direction, choices.measure, choices.isolate) = (direction, measure, isolate)
        (choices.patience, choices.socks, choices.network) = (patience, socks, network)
        (choices.direct, choices.target, choices.sink, choices.listen) = (direct, target, sink, listen)
        (choices.json, choices.html, choices.compare) = (json, html, compare)
        choices.raisesLimits = raisesLimits
        return choices
    }

    func validate() throws {
        let choices = choices
        try checked { () throws(ChoiceFault) in try choices.check() }
    }

    func run() throws { throw ExitCode(try BenchRun.run(choices)) }
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
private func benchTarget(_ text: String) throws -> ProxyTarget {
    if let target = ProxyTarget(text) { return target }
    throw ValidationError("'\(text)' is not a host with a port, such as 203.0.113.7:7000 or sink.example:7000")
}
