internal import Wire

/// The running fetches of blocks, and the nodes that failed to deliver (docs/registry.md, "Spreading").
///
/// A node that announced a height and did not deliver it is paused, each time for twice as long. A node drawn at random
/// has promised nothing: if it does not answer, the next draw is of another node.
struct FetchTable {
    /// How many fetches run at once.
    static let limit = 3
    /// How many of them may be from nodes that announced a height: one place is kept for authorities and random
    /// neighbours.
    static let announcedLimit = 2
    /// The first and the longest pause of a node that failed, in milliseconds.
    static let pause = (first: UInt64(60_000), longest: UInt64(16 * 60_000))
    /// The most nodes that are remembered; when full, the pause that ends first is dropped.
    static let memory = 1_024

    /// A request for blocks.
    struct Fetch {
        /// The source; nil if the owner chooses one, until its answer comes.
        var source: NodeID?
        /// The height that the source announced; 0 if it announced none.
        var claimed: UInt64 = 0
        /// Whether the source announced the height itself.
        var isAnnounced = false
        /// The request is for blocks above this height.
        var above: UInt64 = 0
    }

    private var running: [UInt64: Fetch] = [:]
    private var pauses = Pauses<NodeID>(first: Self.pause.first, longest: Self.pause.longest, capacity: Self.memory)
    /// The node that was last drawn at random and did not answer.
    private var silent: NodeID?

    /// How many nodes are paused.
    var failedCount: Int { pauses.count }
    /// Whether another fetch may begin.
    var hasRoom: Bool { running.count < Self.limit }
    /// The nodes from which blocks are being fetched.
    var sources: Set<NodeID> { Set(running.values.compactMap(\.source)) }

    /// Whether `node` is paused.
    func isPaused(_ node: NodeID, now: UInt64) -> Bool { pauses.isPaused(node, now: now) }

    /// The nodes not to draw at random: those being asked, and the last one that did not answer.
    var avoided: Set<NodeID> { silent.map { sources.union([$0]) } ?? sources }

    /// Whether blocks that `node` announced may be fetched from it now; an authority may have the last place.
    func admits(_ node: NodeID, isAuthority: Bool, now: UInt64) -> Bool {
        hasRoom && !isPaused(node, now: now) && !sources.contains(node)
            && (isAuthority || running.values.count(where: \.isAnnounced) < Self.announcedLimit)
    }

    mutating func began(_ fetch: Fetch, question: UInt64) { running[question] = fetch }

    mutating func ended(question: UInt64) -> Fetch? { running.removeValue(forKey: question) }

    /// A node has delivered the height that it announced.
    mutating func delivered(_ node: NodeID) { pauses.delivered(node) }

    /// The node drawn at random did not answer.
    mutating func wasSilent(_ node: NodeID) { silent = node }

    /// A node has not delivered the height that it announced, or has sent something invalid.
    mutating func failed(_ node: NodeID, now: UInt64) { pauses.failed(node, now: now) }
}
