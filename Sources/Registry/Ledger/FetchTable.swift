internal import Wire

/// From whom blocks are being fetched, and who has failed to deliver (docs/registry.md, "Spreading").
///
/// A node that announced a height and did not deliver it is left alone for a while that doubles each time. A node that was drawn at
/// random has promised nothing: where it is silent, the next draw is of another.
struct FetchTable {
    /// How many fetches run at once.
    static let limit = 3
    /// How many of them may be from nodes that announced something: one place is left for authorities and random neighbours.
    static let announcedLimit = 2
    /// For how long a node that failed is left alone the first time, and at most, in milliseconds.
    static let pause = (first: UInt64(60_000), longest: UInt64(16 * 60_000))
    /// The most nodes that are remembered; the pause that ends first gives way.
    static let memory = 1_024

    /// A question for blocks.
    struct Fetch {
        /// Nil where the owner chooses, until the answer says who it was.
        var source: NodeID?
        /// The height that the source says it has; nothing where it said nothing.
        var claimed: UInt64 = 0
        /// Whether the source asked to be asked.
        var isAnnounced = false
        /// The height above which blocks were asked for.
        var above: UInt64 = 0
    }

    private var running: [UInt64: Fetch] = [:]
    private var pauses = Pauses<NodeID>(first: Self.pause.first, longest: Self.pause.longest, capacity: Self.memory)
    /// The node that was drawn at random last and did not answer.
    private var silent: NodeID?

    /// How many nodes are remembered for having failed.
    var failedCount: Int { pauses.count }
    /// Whether another fetch may begin.
    var hasRoom: Bool { running.count < Self.limit }
    /// From whom blocks are being fetched.
    var sources: Set<NodeID> { Set(running.values.compactMap(\.source)) }

    /// Whether `node` is left alone.
    func isPaused(_ node: NodeID, now: UInt64) -> Bool { pauses.isPaused(node, now: now) }

    /// Whom a random neighbour should not be: who is asked already, or was silent last.
    var avoided: Set<NodeID> { silent.map { sources.union([$0]) } ?? sources }

    /// Whether what `node` announced may be fetched from it now; an authority may have the last place.
    func admits(_ node: NodeID, isAuthority: Bool, now: UInt64) -> Bool {
        hasRoom && !isPaused(node, now: now) && !sources.contains(node)
            && (isAuthority || running.values.count(where: \.isAnnounced) < Self.announcedLimit)
    }

    mutating func began(_ fetch: Fetch, question: UInt64) { running[question] = fetch }

    mutating func ended(question: UInt64) -> Fetch? { running.removeValue(forKey: question) }

    /// A node has delivered what it said.
    mutating func delivered(_ node: NodeID) { pauses.delivered(node) }

    /// The node that was drawn at random did not answer.
    mutating func wasSilent(_ node: NodeID) { silent = node }

    /// A node has not delivered what it said, or something else.
    mutating func failed(_ node: NodeID, now: UInt64) { pauses.failed(node, now: now) }
}
