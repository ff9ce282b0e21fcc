internal import Link
internal import Wire

/// The time: this machine's clocks, and the times that linked nodes reported.
struct LinkClocks {
    /// The wall clock, in nanoseconds since 1970.
    let wallClock: () -> UInt64
    /// A clock in nanoseconds that runs on while the machine sleeps and that cannot be set.
    private let runningClock: () -> UInt64
    /// Whether this end uses its own clock only, as nodes do.
    private let trustsOwn: Bool
    private var estimate = ClockEstimate()
    /// The operators of the nodes whose time counts; nil: every node counts, as an operator of its own.
    private var operators: [NodeID: Bytes32]?

    init(wallClock: @escaping () -> UInt64, runningClock: @escaping () -> UInt64, trustsOwn: Bool) {
        self.wallClock = wallClock
        self.runningClock = runningClock
        self.trustsOwn = trustsOwn
    }

    /// The wall clock: a node's own; a client's own, unless the nodes of several operators agree that it is wrong.
    var time: UnixTime { trustsOwn ? own : estimate.time(own: own, at: running) }

    /// This machine's wall clock.
    var own: UnixTime { UnixTime(seconds: wallClock() / 1_000_000_000) }

    /// The moment on the clock that runs on while the machine sleeps.
    var running: Instant { Instant(nanoseconds: runningClock()) }

    /// The time by the nodes' reports; nil before the first report.
    var told: UnixTime? { estimate.opinion(at: running) }

    /// Whether a node's report differs from `time`, so that more nodes should be asked.
    var isDisputed: Bool { estimate.isDisputed(own: own, at: running) }

    /// The number of operators whose nodes have reported a time.
    var sources: Int { estimate.sources }

    /// From now on only these nodes' times count, one opinion for each operator.
    mutating func setOperators(_ operators: [NodeID: Bytes32]) {
        self.operators = operators
        estimate.operators = Set(operators.values).count
    }

    /// Takes the time that `node` reported in its handshake.
    mutating func add(_ time: UnixTime, of node: NodeID) {
        let source = if let operators { operators[node] } else { node.key as Bytes32? }
        guard let source else { return }
        estimate.add(time, from: source, own: own, at: running)
    }
}
