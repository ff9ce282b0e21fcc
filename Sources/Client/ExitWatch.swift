internal import Directory
internal import Wire

/// Tests the chosen exits by building a path to each, so that new streams go to an exit that works.
///
/// An exit is down after two failed tests in a row, and up after the first test that succeeds.
final class ExitWatch {
    /// How many exits are watched.
    static let limit = 16
    /// How soon an exit that failed is tested again.
    static let retry = TimeSpan.seconds(5)

    /// The results of testing one exit.
    struct State {
        var failures = 0
        var buildTime: TimeSpan?
        var isTrying = false
        var next = Instant(nanoseconds: 0)

        var isDown: Bool { failures >= 2 }
    }

    private let pool: PathPool
    private(set) var states: [NodeID: State] = [:]
    /// How often each exit is tested; zero: never.
    var interval: TimeSpan

    init(pool: PathPool, interval: TimeSpan) {
        self.pool = pool
        self.interval = interval
    }

    /// Whether an exit is known not to work.
    func isDown(_ exit: NodeID) -> Bool { states[exit]?.isDown ?? false }

    /// The exits that are known not to work.
    var down: [NodeID] { states.filter(\.value.isDown).map(\.key) }

    /// Tests those of `exits` that are due, two at a time, and forgets all others.
    ///
    /// `changed` is called later, when one of them goes down or comes up again.
    func tick(_ exits: [NodeID], changed: @escaping () -> Void) {
        let exits = interval > .zero ? Array(exits.prefix(Self.limit)) : []
        for exit in states.keys where !exits.contains(exit) { states[exit] = nil }
        let now = pool.now
        for exit in exits where states.values.count(where: \.isTrying) < 2 {
            var state = states[exit] ?? State()
            guard !state.isTrying, now >= state.next else { continue }
            state.isTrying = true
            states[exit] = state
            attempt(exit, changed)
        }
    }

    private func attempt(_ exit: NodeID, _ changed: @escaping () -> Void) {
        do throws(PathFailure) {
            let hops = try pool.build(to: .node(exit), avoiding: [], for: .spare) { [weak self, pool] result in
                if let self, states[exit] != nil { return tried(exit, result, changed) }
                if case .success(let path) = result { pool.end(path) }
            }
            if hops == nil { states[exit]?.isTrying = false }
        } catch {
            tried(exit, .failure(error), changed)
        }
    }

    private func tried(_ exit: NodeID, _ result: Result<Path, PathFailure>, _ changed: () -> Void) {
        guard var state = states[exit] else { return }
        let wasDown = state.isDown
        state.isTrying = false
        switch result {
        case .success(let path):
            state.failures = 0
            state.buildTime = path.buildTime
            state.next = pool.now + interval
            pool.end(path)
        case .failure(let failure):
            // A failure before the exit says nothing about it.
            if failure.isFault(of: exit, hops: pool.hops) || failure.isTimeout { state.failures += 1 }
            state.next = pool.now + min(interval, Self.retry)
        }
        states[exit] = state
        if state.isDown != wasDown { changed() }
    }
}
