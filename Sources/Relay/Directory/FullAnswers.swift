internal import OnionCrypto
internal import Wire

/// Which neighbours a node still has to ask for all descriptors.
///
/// One neighbour may hold descriptors back, or not have them yet, and what it left out would be missing here until it
/// is published again. So nodes of three operators are asked. They are asked anew when right descriptors may have been
/// refused: after a step of the clock, or of the trusted snapshot.
struct FullAnswers {
    /// The number of operators whose nodes have to answer.
    static let operators = 3
    /// The most neighbours that are asked at the same time.
    static let atOnce = 2
    /// The time in which a neighbour is not asked again after a failure.
    static let pause = TimeSpan.seconds(5)
    /// The step of the clock, in seconds, from which they are asked anew.
    static let step: UInt64 = 300

    /// Whether a neighbour has answered since the start.
    private(set) var hasHeard = false
    private var answered: Set<Bytes32> = []
    private var asked: Set<NodeID> = []
    /// When neighbours that have failed may be asked again.
    private var failed: [NodeID: Instant] = [:]
    /// The wall clock minus the running clock, in seconds, at the start or at the last step.
    private var offset: Int64?

    /// Whether enough have answered.
    var isComplete: Bool { answered.count >= Self.operators }

    /// Whether to ask `peer`, a node of the operator `owner`.
    func mustAsk(_ peer: NodeID, of owner: Bytes32, now: Instant) -> Bool {
        !isComplete && !answered.contains(owner) && asked.count < Self.atOnce && !asked.contains(peer)
            && failed[peer].map { now >= $0 } ?? true
    }

    /// Notes that `peer` is asked.
    mutating func ask(_ peer: NodeID) { asked.insert(peer) }

    /// Notes the answer of `peer`, a node of the operator `owner`, or that it could not be had or read.
    mutating func end(_ peer: NodeID, of owner: Bytes32, isRead: Bool, now: Instant) {
        asked.remove(peer)
        failed[peer] = isRead ? nil : now + Self.pause
        guard isRead else { return }
        hasHeard = true
        answered.insert(owner)
        if isComplete { failed.removeAll() }
    }

    /// Has all asked anew.
    mutating func restart() { answered.removeAll() }

    /// Has all asked anew if the wall clock has been set since the last call.
    mutating func follow(_ wall: UnixTime, running: Instant) {
        let found = Int64(clamping: wall.seconds) - Int64(running.nanoseconds / 1_000_000_000)
        if let offset, offset.distance(to: found).magnitude <= Self.step { return }
        if offset != nil { restart() }
        offset = found
    }
}
