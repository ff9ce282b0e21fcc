internal import Directory
internal import EventLoop
internal import Wire

/// Tries the exits that were chosen, one path to each, so that new streams go to one that works.
///
/// An exit is down when two tries in a row failed at it, and up with the first that succeeds.
final class ExitWatch {
    /// How many exits are watched.
    static let limit = 16
    /// How soon an exit that failed is tried again.
    static let retry = TimeSpan.seconds(5)

    /// What is known of an exit.
    struct State {
        var failures = 0
        var buildTime: TimeSpan?
        var isTrying = false
        var next = Instant(nanoseconds: 0)

        var isDown: Bool { failures >= 2 }
    }

    private let pool: PathPool
    private let loop: Loop
    private(set) var states: [NodeID: State] = [:]
    /// How often each exit is tried; zero: never.
    var interval = TimeSpan.zero
    /// Called when an exit is found to be down, or up again.
    var changed: () -> Void = {}

    init(pool: PathPool, loop: Loop) {
        self.pool = pool
        self.loop = loop
    }

    /// Whether an exit is known not to work.
    func isDown(_ exit: NodeID) -> Bool { states[exit]?.isDown ?? false }

    /// The exits that are known not to work.
    var down: [NodeID] { states.filter(\.value.isDown).map(\.key) }

    /// Tries those of `exits` whose time has come, a few at once; the rest is forgotten.
    func tick(_ exits: [NodeID]) {
        let exits = interval > .zero ? Array(exits.prefix(Self.limit)) : []
        for exit in states.keys where !exits.contains(exit) { states[exit] = nil }
        let now = Instant(nanoseconds: loop.now)
        for exit in exits where states.values.count(where: \.isTrying) < 2 {
            var state = states[exit] ?? State()
            guard !state.isTrying, now >= state.next else { continue }
            state.isTrying = true
            states[exit] = state
            attempt(exit)
        }
    }

    private func attempt(_ exit: NodeID) {
        let hops = pool.build(to: .node(exit), avoiding: [], for: .spare) { [weak self] result in
            guard let self else { return }
            let now = Instant(nanoseconds: loop.now)
            guard var state = states[exit] else {
                if case .success(let path) = result { pool.end(path) }
                return
            }
            let wasDown = state.isDown
            state.isTrying = false
            switch result {
            case .success(let path):
                state.failures = 0
                state.buildTime = path.buildTime
                state.next = now + interval
                pool.end(path)
            case .failure(let failure):
                // A failure before the exit says nothing of it.
                if failure.isFault(of: exit, hops: pool.hops) || failure.isTimeout { state.failures += 1 }
                state.next = now + min(interval, Self.retry)
            }
            states[exit] = state
            if state.isDown != wasDown { changed() }
        }
        if hops == nil { states[exit]?.isTrying = false }
    }
}
