package import Bench
internal import Process
package import Wire

/// The options of `tunic bench`; nil: the option is not given.
///
/// It has more members than most types: one for each option.
package struct BenchChoices {
    /// The number of nodes of a path.
    package var hops: Int?
    /// The numbers of streams.
    package var streams: [Int]?
    /// The length of a window in seconds.
    package var seconds: Double?
    /// The number of windows.
    package var repeats: Int?
    package var direction: [Direction]?
    package var measure: [Benchmark.Measurement]?
    /// Whether each stream has its own path.
    package var isolate = false
    /// The time without a byte after which a stream counts as stalled, in seconds.
    package var patience: Double?
    /// Whether the benchmark's own network has limits above the defaults.
    package var raisesLimits = false
    /// The proxy to measure.
    package var socks: Endpoint?
    /// The network file of the network to measure.
    package var network: String?
    /// Whether a direct connection is measured.
    package var direct = false
    /// The place of the sink.
    package var target: ProxyTarget?
    /// Whether the process is the sink.
    package var sink = false
    /// Where the sink listens.
    package var listen: Endpoint?
    /// The files for the report; - is standard output.
    package var json: String?
    package var html: String?
    /// The file of an older run's report.
    package var compare: String?

    package init() {}

    /// Throws if two options contradict each other or a number is out of its range.
    package func check() throws(ChoiceFault) {
        if let repeats, !(1...20 ~= repeats) { throw ChoiceFault("--repeat \(repeats): use 1 to 20 windows") }
        if compare != nil, json == "-" || html == "-" {
            throw ChoiceFault("--compare prints a table and cannot be combined with --json - or --html -")
        }
        if let hops, !(1...4 ~= hops) { throw ChoiceFault("--hops \(hops): a path has 1 to 4 hops") }
        if let seconds, !(0.2...3600 ~= seconds) {
            throw ChoiceFault("--seconds \(seconds): use 0.2 to 3600 seconds")
        }
        if let patience, !(0.1...600 ~= patience) {
            throw ChoiceFault("--patience \(patience): use 0.1 to 600 seconds")
        }
        guard sink || listen == nil else { throw ChoiceFault("--listen needs --sink") }
        let chosen = [socks != nil ? "--socks" : nil, network != nil ? "--network" : nil, direct ? "--direct" : nil]
            .compactMap { $0 }
        guard chosen.count <= 1 else {
            throw ChoiceFault("\(chosen.joined(separator: " and ")) cannot be combined; give one of them")
        }
        if sink {
            let others: [Any?] = [
                target, hops, json, html, streams, seconds, direction, measure, patience, repeats, compare,
            ]
            guard chosen.isEmpty, !isolate, !raisesLimits, others.allSatisfy({ $0 == nil }) else {
                throw ChoiceFault("--sink measures nothing; the only other option it takes is --listen")
            }
        }
        if network != nil, target == nil {
            throw ChoiceFault(
                "--network needs --target HOST:PORT, where 'tunic bench --sink' listens behind the exits")
        }
        if chosen.isEmpty, target != nil {
            throw ChoiceFault(
                "--target needs --network, --socks or --direct; the benchmark's own network has its own")
        }
        if let first = chosen.first, first != "--network", hops != nil {
            throw ChoiceFault("--hops cannot be combined with \(first), for which the benchmark builds no paths")
        }
        if let first = chosen.first, raisesLimits {
            throw ChoiceFault(
                "--raise-limits cannot be combined with \(first); it is for the benchmark's own network")
        }
        if direct, let target, target.address == nil {
            throw ChoiceFault("--target \(target): --direct needs a numeric address")
        }
        if let first = chosen.first, first != "--network", measure?.contains(.builds) == true {
            throw ChoiceFault(
                "--measure builds cannot be combined with \(first), for which no builds are known")
        }
        if json == "-", html == "-" { throw ChoiceFault("--json - and --html - cannot be combined") }
    }

    /// The measurements to make.
    package var plan: Benchmark.Plan {
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
    package var subject: BenchRun.Subject {
        if let socks {
            .proxy(socks, target)
        } else if let network, let target {
            .network(Files.absolute(network), target, hops: hops ?? 3)
        } else if direct {
            .direct(target)
        } else {
            .devnet(hops: hops ?? 3, raisesLimits: raisesLimits)
        }
    }
}
