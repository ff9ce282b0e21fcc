internal import EventLoop

/// The direction of a stream's bytes.
public enum Direction: String, Codable, Sendable, CaseIterable {
    /// From the far end to the application.
    case down
    /// From the application to the far end.
    case up
}

/// The result of a measurement of throughput.
struct ThroughputWindow {
    /// The length of the window in seconds.
    var seconds: Double
    /// Bytes that arrived and matched the pattern, over all streams.
    var bytes: UInt64
    /// The bytes of the stream that carried the fewest.
    var least: UInt64
    /// The end of each tick in seconds, and the bytes up to it.
    var ticks: [(seconds: Double, bytes: UInt64)]
}

/// The callbacks of a measurement while its window passes.
///
/// `Progress` is the figure so far.
struct WindowEvents<Progress> {
    /// Called exactly when the window begins and when it ends.
    let began: () -> Void, ended: () -> Void
    /// Called at each tick of the window, with the seconds since its beginning.
    let progressed: (Double, Progress) -> Void

    init(
        began: @escaping () -> Void = {}, ended: @escaping () -> Void = {},
        progressed: @escaping (Double, Progress) -> Void = { _, _ in }
    ) {
        self.began = began
        self.ended = ended
        self.progressed = progressed
    }
}

/// Streams that carry the pattern as fast as possible.
///
/// They open, warm up, and are measured in a window. After it each must carry at least one more byte.
final class Throughput: LoadStreamOwner {
    struct Plan {
        var direction: Direction
        var streams: Int
        /// Whether each stream has a SOCKS user name of its own.
        var isolates: Bool
        /// The time before the window in seconds.
        var warmUp: Double
        /// The window in seconds; nil: until ``Throughput/endWindow()``.
        var seconds: Double?
        /// The longest time to open, and the longest time without a byte, in seconds.
        var patience: Double
    }

    private enum Phase { case opening, warmUp, window, behind, ended }

    private static let tick: UInt64 = 100_000_000

    private let loop: Loop
    private let plan: Plan
    private let farEnd: FarEnd?
    private let events: WindowEvents<Double>
    private var streams: [LoadStream] = []
    private var phase = Phase.opening
    private var phaseBegan: UInt64 = 0
    private var phaseBytes: [UInt64] = []
    private var lastMoves: [(bytes: UInt64, time: UInt64)] = []
    private var window = ThroughputWindow(seconds: 0, bytes: 0, least: 0, ticks: [])
    private var timer: LoopTimer?
    private var completion: ((Result<ThroughputWindow, LoadFaults>) -> Void)?

    /// Streams along `route` to `target`, with numbers from `firstNumber`.
    ///
    /// `farEnd` counts the uploads; if it is nil, the far end reports them.
    ///
    /// `events` get the bytes per second of each tick.
    init(
        on loop: Loop, _ plan: Plan, along route: Route, to target: ProxyTarget, farEnd: FarEnd?, firstNumber: UInt32,
        events: WindowEvents<Double> = .init(), completion: @escaping (Result<ThroughputWindow, LoadFaults>) -> Void
    ) {
        self.loop = loop
        self.plan = plan
        self.farEnd = farEnd
        self.events = events
        self.completion = completion
        timer = LoopTimer(on: loop) { [unowned self] in ticked() }
        for index in 0..<plan.streams {
            let number = firstNumber &+ UInt32(truncatingIfNeeded: index)
            let isCountedHere = plan.direction == .up && farEnd != nil
            let operation: Request.Operation =
                plan.direction == .down ? .download : isCountedHere ? .upload : .reportedUpload
            let tally = isCountedHere ? farEnd?.expect(number) : nil
            streams.append(
                LoadStream(
                    operation, number: number, on: loop, along: route, to: target,
                    userName: plan.isolates ? "bench-\(index)" : nil, tally: tally ?? Tally(), owner: self))
        }
        enter(.opening)
        timer?.schedule(at: loop.now)
    }

    /// Ends a window that has no fixed length.
    func endWindow() {
        guard phase == .window else { return }
        closeWindow()
    }

    /// Ends all streams without a result.
    func cancel() {
        completion = nil
        finish()
    }

    // MARK: - Events

    func opened(_ stream: LoadStream) { openIfAllAre() }

    func ended(_ stream: LoadStream) {
        switch phase {
        case .ended: break
        case .opening: openIfAllAre()
        case .warmUp, .window, .behind: finish()
        }
    }

    private func openIfAllAre() {
        guard phase == .opening, streams.count == plan.streams, !streams.contains(where: \.isOpening) else { return }
        if streams.contains(where: { $0.tally.fault != nil }) { finish() } else { enter(.warmUp) }
    }

    private func ticked() {
        let now = loop.now
        checkPatience(now)
        switch phase {
        case .opening: openIfAllAre()
        case .warmUp:
            if now - phaseBegan >= nanoseconds(plan.warmUp) {
                enter(.window)
                events.began()
            }
        case .window:
            recordTick(now)
            if let seconds = plan.seconds, now - phaseBegan >= nanoseconds(seconds) { closeWindow() }
        case .behind:
            if zip(streams, phaseBytes).allSatisfy({ $0.tally.bytes > $1 }) { finish() }
        case .ended: return
        }
        guard phase != .ended else { return }
        var next = now + Self.tick
        if phase == .warmUp { next = min(next, phaseBegan + nanoseconds(plan.warmUp)) }
        if phase == .window, let seconds = plan.seconds { next = min(next, phaseBegan + nanoseconds(seconds)) }
        if phase == .behind { next = now + 10_000_000 }
        timer?.schedule(at: next)
    }

    // MARK: - Phases

    private func enter(_ next: Phase) {
        phase = next
        phaseBegan = loop.refreshNow()
        phaseBytes = streams.map(\.tally.bytes)
        if next == .warmUp { lastMoves = phaseBytes.map { ($0, phaseBegan) } }
    }

    private func recordTick(_ now: UInt64) {
        let seconds = Double(now - phaseBegan) / 1e9
        let bytes = zip(streams, phaseBytes).reduce(UInt64(0)) { $0 + ($1.0.tally.bytes - $1.1) }
        let last = window.ticks.last ?? (0, 0)
        guard seconds > last.seconds else { return }
        window.ticks.append((seconds, bytes))
        events.progressed(seconds, Double(bytes - last.bytes) / (seconds - last.seconds))
    }

    private func closeWindow() {
        let now = loop.refreshNow()
        // A short last tick would be noise. One of less than half a tick is merged with the tick before.
        if let last = window.ticks.last, now - phaseBegan < nanoseconds(last.seconds) + Self.tick / 2 {
            window.ticks.removeLast()
        }
        recordTick(now)
        let moved = zip(streams, phaseBytes).map { $0.tally.bytes - $1 }
        window.seconds = Double(now - phaseBegan) / 1e9
        window.bytes = moved.reduce(0, +)
        window.least = moved.min() ?? 0
        events.ended()
        enter(.behind)
        timer?.schedule(at: now)
    }

    /// Ends streams that did not open in time.
    ///
    /// After the opening, ends the measurement if a stream has stood still too long.
    private func checkPatience(_ now: UInt64) {
        let patience = nanoseconds(plan.patience)
        if phase == .opening {
            guard now - phaseBegan > patience else { return }
            for stream in streams where stream.isOpening { stream.end(LoadFault(.stalled, "did not open in time")) }
            return
        }
        guard phase != .ended else { return }
        var isOverdue = false
        for (index, stream) in streams.enumerated() {
            if stream.tally.bytes != lastMoves[index].bytes {
                lastMoves[index] = (stream.tally.bytes, now)
            } else if now - lastMoves[index].time > patience {
                stream.tally.fault = stream.tally.fault ?? LoadFault(.stalled, "moved no byte in time")
                isOverdue = true
            }
        }
        if isOverdue { finish() }
    }

    private func finish() {
        guard phase != .ended else { return }
        phase = .ended
        timer?.close()
        var faults = LoadFaults()
        for stream in streams { if let fault = stream.tally.fault { faults.add(fault) } }
        for stream in streams {
            farEnd?.forget(stream.number)
            stream.end(nil)
        }
        let completion = completion
        self.completion = nil
        completion?(faults.isEmpty ? .success(window) : .failure(faults))
    }
}

/// `seconds` in nanoseconds; 0 if negative.
func nanoseconds(_ seconds: Double) -> UInt64 { UInt64(max(0, seconds) * 1e9) }
