internal import EventLoop
internal import Texts

private let gibibyte = 1_073_741_824.0

extension Benchmark {
    // MARK: - The first stream

    /// Fetches once, so that the run ends early if the proxy cannot carry a stream.
    func measureFirst(_ done: @escaping () -> Void) {
        watcher.progressed("the first stream")
        let plan = Fetches.Plan(
            inFlight: 1, limit: 1, isolates: false, warmUp: 0, seconds: 0, patience: plan.patience)
        current = [
            Fetches(on: loop, plan, along: route, to: target, firstNumber: takeNumbers(1)) { [unowned self] in
                if case .failure(let faults) = $0 { report.fault = faults.description }
                done()
            }
        ]
    }

    // MARK: - Throughput

    private func throughput(
        _ streams: Int, _ direction: Direction, isolates: Bool, seconds: Double?, events: WindowEvents<Double>,
        completion: @escaping (Result<ThroughputWindow, LoadFaults>) -> Void
    ) -> Throughput {
        let plan = Throughput.Plan(
            direction: direction, streams: streams, isolates: isolates, warmUp: plan.warmUp, seconds: seconds,
            patience: plan.patience)
        return Throughput(
            on: loop, plan, along: route, to: target, farEnd: farEnd, firstNumber: takeNumbers(streams),
            events: events, completion: completion)
    }

    func measure(_ streams: Int, _ direction: Direction, _ done: @escaping () -> Void) {
        var one = BenchReport.Throughput(streams: streams, direction: direction)
        watcher.progressed(one.title)
        var follow: (@escaping () -> Void) -> Void = { $0() }
        let events = WindowEvents<Double>(
            began: { [unowned self] in
                follow = followPath()
                meter.windowBegan()
            },
            ended: { [unowned self] in meter.windowEnded() },
            progressed: { [unowned self] seconds, rate in
                watcher.progressed(
                    "\(one.title): \(numberText(seconds, decimals: 1)) s, \(figureText(rate / 1e6)) MB/s")
            })
        let load = throughput(streams, direction, isolates: plan.isolates, seconds: plan.seconds, events: events) {
            [unowned self] result in
            follow { [unowned self] in
                switch result {
                case .failure(let faults): one.fault = faults.description
                case .success(let window): fill(&one, window)
                }
                report.add(one)
                watcher.measured("\(one.title): \(one.fault ?? "\(figureText(one.rate)) MB/s")")
                done()
            }
        }
        current = [load]
    }

    private func fill(_ one: inout BenchReport.Throughput, _ window: ThroughputWindow) {
        let gib = Double(window.bytes) / gibibyte
        one.seconds = short(window.seconds)
        one.bytes = window.bytes
        one.rate = short(Double(window.bytes) / 1e6 / window.seconds)
        one.leastRate = short(Double(window.least) / 1e6 / window.seconds)
        if gib > 0 {
            if hasUsage {
                one.cpu = short(meter.totalSeconds / gib)
                one.cpuByRole = meter.secondsByRole.mapValues { short($0 / gib) }
            }
            one.cpuOfBenchmark = short(meter.ownSeconds / gib)
        }
        var last: (seconds: Double, bytes: UInt64) = (0, 0)
        one.ticks = window.ticks.map { tick in
            defer { last = tick }
            let rate = Double(tick.bytes - last.bytes) / 1e6 / (tick.seconds - last.seconds)
            return .init(at: short(tick.seconds), rate: short(rate))
        }
    }

    // MARK: - Latency

    /// Measures round trips while `besides` bulk streams download.
    func measureLatency(besides: Int, _ done: @escaping () -> Void) {
        let title = BenchReport.Latency(besides: besides).title
        watcher.progressed(title)
        guard besides > 0 else { return ping(besides: 0, end: { $0(nil) }, done) }
        var bulk: Result<ThroughputWindow, LoadFaults>?
        var whenBulkIsOver: (() -> Void)?
        var hasBegun = false
        weak var running: Throughput?
        let events = WindowEvents<Double>(began: { [unowned self] in
            hasBegun = true
            ping(
                besides: besides,
                end: { completion in
                    if let bulk { return completion(bulk) }
                    whenBulkIsOver = { completion(bulk) }
                    running?.endWindow()
                }, done)
        })
        let load = throughput(besides, .down, isolates: false, seconds: nil, events: events) { [unowned self] result in
            bulk = result
            if hasBegun {
                whenBulkIsOver?()
            } else if case .failure(let faults) = result {
                add(.init(besides: besides, fault: faults.description), done)
            }
        }
        running = load
        current = [load]
    }

    /// Pings for one window.
    ///
    /// Then calls `end`, which stops the bulk streams and returns their result, nil without bulk streams.
    private func ping(
        besides: Int, end: @escaping (@escaping (Result<ThroughputWindow, LoadFaults>?) -> Void) -> Void,
        _ done: @escaping () -> Void
    ) {
        var one = BenchReport.Latency(besides: besides)
        let follow = followPath()
        let pingPlan = PingPlan(
            route: route, number: takeNumbers(1), warmUp: plan.warmUp, seconds: plan.seconds, patience: plan.patience)
        do throws(UVError) {
            let thread = try PingThread(
                on: loop, pingPlan,
                windowBegan: { [unowned self] in
                    watcher.progressed("\(one.title): \(figureText(plan.seconds)) s")
                    meter.windowBegan()
                },
                completion: { [unowned self] result in
                    meter.windowEnded()
                    end { [unowned self] bulk in
                        follow { [unowned self] in
                            fill(&one, result, bulk)
                            add(one, done)
                        }
                    }
                })
            current.append(thread)
        } catch {
            one.fault = LoadFault(.closed, error.description).description
            end { [unowned self] _ in add(one, done) }
        }
    }

    private func fill(
        _ one: inout BenchReport.Latency, _ result: Result<PingResult, LoadFaults>,
        _ bulk: Result<ThroughputWindow, LoadFaults>?
    ) {
        switch (result, bulk) {
        case (.failure(let faults), _): one.fault = faults.description
        case (_, .failure(let faults)): one.fault = "bulk streams: \(faults.description)"
        case (.success(let pings), _):
            let times = pings.latencies
            one.seconds = short(pings.seconds)
            one.count = times.count
            one.p50 = times.microseconds(atPercentile: 50)
            one.p99 = times.microseconds(atPercentile: 99)
            one.p999 = times.microseconds(atPercentile: 99.9)
            one.longest = times.longestMicroseconds
            one.distribution = times.distribution.map { .init(percentile: $0.percentile, time: $0.microseconds) }
            if one.besides == 0, hasUsage, times.count > 0 {
                one.cpuEach = short(meter.totalSeconds * 1e6 / Double(times.count))
            }
            if case .success(let window) = bulk {
                one.besideRate = short(Double(window.bytes) / 1e6 / window.seconds)
            }
        }
    }

    private func add(_ one: BenchReport.Latency, _ done: () -> Void) {
        report.add(one)
        watcher.measured("\(one.title): \(one.fault ?? "p50 \(figureText(one.p50)) µs, p99 \(figureText(one.p99)) µs")")
        done()
    }

    // MARK: - Connections

    func measureConnections(_ done: @escaping () -> Void) {
        var one = BenchReport.Connections(inFlight: plan.inFlight)
        watcher.progressed("connections")
        let fetchPlan = Fetches.Plan(
            inFlight: plan.inFlight, limit: nil, isolates: false, warmUp: plan.warmUp, seconds: plan.seconds,
            patience: plan.patience)
        let events = WindowEvents<Int>(
            began: { [unowned self] in meter.windowBegan() }, ended: { [unowned self] in meter.windowEnded() },
            progressed: { [unowned self] seconds, count in
                watcher.progressed("connections: \(numberText(seconds, decimals: 1)) s, \(count)")
            })
        let fetches = Fetches(
            on: loop, fetchPlan, along: route, to: target, firstNumber: takeNumbers(1 << 24), events: events
        ) { [unowned self] result in
            switch result {
            case .failure(let faults): one.fault = faults.description
            case .success(let result):
                let times = result.latencies
                one.seconds = short(result.seconds)
                one.count = times.count
                one.rate = short(Double(times.count) / result.seconds)
                one.p50 = times.microseconds(atPercentile: 50)
                one.p99 = times.microseconds(atPercentile: 99)
                one.p999 = times.microseconds(atPercentile: 99.9)
                if hasUsage, times.count > 0 {
                    one.cpuEach = short(meter.totalSeconds * 1e6 / Double(times.count))
                }
            }
            report.add(one)
            watcher.measured("connections: \(one.fault ?? "\(figureText(one.rate)) per second")")
            done()
        }
        current = [fetches]
    }

    // MARK: - Path builds

    /// Fetches once for each of `plan.builds` isolation keys, one after the other.
    ///
    /// Each key needs paths of its own.
    func measureBuilds(_ done: @escaping () -> Void) {
        watcher.progressed("path builds")
        subject?.askBuilds { [weak self] before in
            guard let self else { return }
            guard let before else {
                var one = BenchReport.Builds()
                one.fault = "the client does not answer"
                return add(one, done)
            }
            let fetchPlan = Fetches.Plan(
                inFlight: 1, limit: plan.builds, isolates: true, warmUp: 0, seconds: 0, patience: plan.patience)
            let events = WindowEvents<Int>(progressed: { [unowned self] _, count in
                watcher.progressed("path builds: \(count) of \(plan.builds)")
            })
            let fetches = Fetches(
                on: loop, fetchPlan, along: route, to: target, firstNumber: takeNumbers(plan.builds), events: events
            ) { [unowned self] result in
                subject?.askBuilds { [weak self] after in self?.add(before, after, result, done) }
            }
            current = [fetches]
        }
    }

    private func add(
        _ before: SubjectBuilds, _ after: SubjectBuilds?, _ result: Result<FetchResult, LoadFaults>, _ done: () -> Void
    ) {
        var one = BenchReport.Builds()
        if case .failure(let faults) = result {
            one.fault = faults.description
        } else if let after, after.built > before.built {
            let times = after.times.suffix(Int(clamping: after.built - before.built)).sorted()
            one.count = Int(clamping: after.built - before.built)
            one.failed = Int(clamping: after.failed - min(before.failed, after.failed))
            one.p50 = Self.rank(0.5, of: times)
            one.p90 = Self.rank(0.9, of: times)
        } else {
            one.fault = after == nil ? "the client does not answer" : "no path was built"
        }
        add(one, done)
    }

    private func add(_ one: BenchReport.Builds, _ done: () -> Void) {
        report.add(one)
        watcher.measured("path builds: \(one.fault ?? "p50 \(figureText(one.p50)) ms, p90 \(figureText(one.p90)) ms")")
        done()
    }

    /// The element of `sorted` nearest to the fraction `share` of the way to its end; nil if `sorted` is empty.
    static func rank(_ share: Double, of sorted: [Double]) -> Double? {
        guard !sorted.isEmpty else { return nil }
        return sorted[Int((share * Double(sorted.count - 1)).rounded())]
    }
}
