public import EventLoop
public import Wire

extension Loop {
    /// Runs until `condition` holds; false if it does not within `limit`.
    ///
    /// The limit guards against hanging. A test sets a short limit only for an event that must not happen.
    @discardableResult
    public func run(for limit: TimeSpan = .seconds(60), until condition: () -> Bool) -> Bool {
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

extension Loop {
    /// A loop on simulated time, of a machine without a network; waiting takes no real time.
    package static func simulated(seed: UInt64 = 1) -> Loop {
        let world = SimulatedWorld(seed: seed)
        return withExtendedLifetime(world) {
            Loop(simulated: world.addHost(at: [SocketAddress(ipv4: 0x0a00_0001, port: 0)]))
        }
    }
}
