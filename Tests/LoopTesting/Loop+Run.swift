public import EventLoop
public import Wire

extension Loop {
    /// Runs until `condition` holds; false when it does not within `limit`.
    @discardableResult
    public func run(for limit: TimeSpan = .seconds(10), until condition: () -> Bool) -> Bool {
        let deadline = Instant(nanoseconds: refreshNow()) + limit
        let timer = LoopTimer(on: self) {}
        defer { timer.close() }
        while !condition() {
            guard Instant(nanoseconds: refreshNow()) < deadline else { return false }
            timer.schedule(at: now + 5_000_000)
            runOnce(waiting: true)
        }
        return true
    }
}
