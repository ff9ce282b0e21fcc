internal import EventLoop

/// The result of a measurement of new connections.
struct FetchResult {
    /// The length of the window in seconds.
    var seconds: Double
    /// The time of each fetch: connection, handshake, eight bytes, end of the stream.
    var latencies: Latencies
}

/// Connections that each fetch eight bytes, up to a number at a time.
final class Fetches: LoadStreamOwner {
    struct Plan {
        /// The number of fetches in flight.
        var inFlight: Int
        /// Ends the window after this many fetches; nil: after `seconds`.
        var limit: Int?
        /// Whether each fetch has its own SOCKS user name.
        var isolates: Bool
        /// The time before the window in seconds.
        var warmUp: Double
        /// The window in seconds.
        var seconds: Double
        /// The longest time of a fetch in seconds.
        var patience: Double
    }

    /// The number of faults at which a measurement ends.
    private static let faultLimit = 100
    private static let tick: UInt64 = 50_000_000

    private struct Outcome {
        /// The number of fetches that were begun.
        var begun = 0
        var latencies = Latencies()
        var faults = LoadFaults()
    }

    private let loop: Loop
    private let plan: Plan
    private let route: Route
    private let target: ProxyTarget
    private let events: WindowEvents<Int>
    private var nextNumber: UInt32
    private var streams: [ObjectIdentifier: LoadStream] = [:]
    private var outcome = Outcome()
    private let began: UInt64
    private var windowAt: UInt64?
    private var isOver = false
    private var timer: LoopTimer?
    private var completion: ((Result<FetchResult, LoadFaults>) -> Void)?

    /// Fetches along `route` from `target`, with stream numbers from `firstNumber`.
    ///
    /// `events` get the number of ended fetches.
    init(
        on loop: Loop, _ plan: Plan, along route: Route, to target: ProxyTarget, firstNumber: UInt32,
        events: WindowEvents<Int> = .init(), completion: @escaping (Result<FetchResult, LoadFaults>) -> Void
    ) {
        self.loop = loop
        self.plan = plan
        self.route = route
        self.target = target
        self.events = events
        nextNumber = firstNumber
        self.completion = completion
        began = loop.now
        timer = LoopTimer(on: loop) { [unowned self] in ticked() }
        timer?.schedule(at: loop.now)
    }

    /// Ends all fetches without a result.
    func cancel() {
        completion = nil
        finish()
    }

    func ended(_ stream: LoadStream) {
        guard !isOver, streams.removeValue(forKey: ObjectIdentifier(stream)) != nil else { return }
        book(stream)
        fill()
    }

    private func book(_ stream: LoadStream) {
        if let fault = stream.tally.fault {
            outcome.faults.add(fault)
        } else if windowAt != nil {
            outcome.latencies.record(loop.refreshNow() - stream.began)
        }
    }

    /// Begins fetches until `inFlight` are in flight.
    private func fill() {
        while !isOver, streams.count < plan.inFlight, outcome.faults.count < Self.faultLimit {
            if let limit = plan.limit, outcome.begun >= limit { break }
            outcome.begun += 1
            let stream = LoadStream(
                .fetch, number: nextNumber, on: loop, along: route, to: target,
                userName: plan.isolates ? "bench-fetch-\(nextNumber)" : nil, tally: Tally(), owner: self)
            nextNumber &+= 1
            if stream.isEnded { book(stream) } else { streams[ObjectIdentifier(stream)] = stream }
        }
    }

    private func ticked() {
        let now = loop.now
        for stream in streams.values where now - min(stream.began, now) > nanoseconds(plan.patience) {
            stream.end(LoadFault(.stalled, "a fetch took too long"))
        }
        guard !isOver else { return }
        if outcome.faults.count >= Self.faultLimit { return finish() }
        if windowAt == nil, now - began >= nanoseconds(plan.warmUp) {
            windowAt = loop.refreshNow()
            events.began()
        }
        fill()
        if let windowAt {
            let seconds = Double(loop.now - windowAt) / 1e9
            events.progressed(seconds, outcome.latencies.count)
            let isComplete = plan.limit.map { outcome.begun >= $0 && streams.isEmpty } ?? (seconds >= plan.seconds)
            // A window in which no fetch has ended stays open until one ends or exceeds the patience.
            if isComplete && (outcome.latencies.count > 0 || !outcome.faults.isEmpty) { return finish() }
        }
        timer?.schedule(at: loop.now + Self.tick)
    }

    private func finish() {
        guard !isOver else { return }
        isOver = true
        timer?.close()
        let seconds = Double(loop.refreshNow() - (windowAt ?? loop.now)) / 1e9
        if windowAt != nil { events.ended() }
        for stream in streams.values { stream.end(nil) }
        streams = [:]
        let completion = completion
        self.completion = nil
        let result = FetchResult(seconds: seconds, latencies: outcome.latencies)
        completion?(outcome.faults.isEmpty ? .success(result) : .failure(outcome.faults))
    }
}
