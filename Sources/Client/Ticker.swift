internal import EventLoop
internal import Wire

/// Runs a client's regular work: every 200 ms, and at once when an awaited event occurs.
final class Ticker {
    private static let interval = TimeSpan.milliseconds(200)

    private let loop: Loop
    private var timer: LoopTimer?

    init(on loop: Loop) { self.loop = loop }

    /// Runs `work` now, and from now on until ``close()``.
    func start(_ work: @escaping () -> Void) {
        timer = LoopTimer(on: loop) { [weak self] in self?.tick(work) }
        tick(work)
    }

    private func tick(_ work: () -> Void) {
        timer?.schedule(at: (Instant(nanoseconds: loop.now) + Self.interval).nanoseconds)
        work()
    }

    /// Runs the work in the loop's next turn; has no effect before ``start(_:)``, which runs it itself.
    func soon() { timer?.schedule(at: 0) }

    /// Stops running the work.
    func close() { timer?.close() }
}
