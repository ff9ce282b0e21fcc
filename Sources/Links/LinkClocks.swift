internal import Link
internal import Wire

/// What time it is: this machine's clocks, and what the nodes say that were linked to.
struct LinkClocks {
    /// The wall clock, in nanoseconds since 1970.
    let wallClock: () -> UInt64
    /// A clock that runs on while the machine sleeps and that nobody sets, in nanoseconds.
    private let runningClock: () -> UInt64
    /// Whether this end goes by its own clock, as nodes do.
    private let trustsOwn: Bool
    private var estimate = ClockEstimate()
    /// The operators of the nodes whose time counts; nil as long as every node counts, each as an operator of its own.
    private var operators: [NodeID: Bytes32]?

    init(wallClock: @escaping () -> UInt64, runningClock: @escaping () -> UInt64, trustsOwn: Bool) {
        self.wallClock = wallClock
        self.runningClock = runningClock
        self.trustsOwn = trustsOwn
    }

    /// The wall clock: a node's own; a client's own unless several operators' nodes agree that it is wrong.
    var time: UnixTime { trustsOwn ? own : estimate.time(own: own, at: running) }

    /// What the machine's own wall clock says.
    var own: UnixTime { UnixTime(seconds: wallClock() / 1_000_000_000) }

    /// The moment on the clock that runs on while the machine sleeps.
    var running: Instant { Instant(nanoseconds: runningClock()) }

    /// What the nodes say that the time is; nil before any has told it.
    var told: UnixTime? { estimate.opinion(at: running) }

    /// Whether a node's time differs from the present one, so that more should be asked.
    var isDisputed: Bool { estimate.isDisputed(own: own, at: running) }

    /// Of how many operators nodes have told their time.
    var sources: Int { estimate.sources }

    /// Counts the time of these nodes only, and one opinion for each operator, from now on.
    mutating func setOperators(_ operators: [NodeID: Bytes32]) {
        self.operators = operators
        estimate.operators = Set(operators.values).count
    }

    /// Takes the time that `node` has told in its handshake.
    mutating func add(_ time: UnixTime, of node: NodeID) {
        let source = if let operators { operators[node] } else { node.key as Bytes32? }
        guard let source else { return }
        estimate.add(time, from: source, own: own, at: running)
    }
}
