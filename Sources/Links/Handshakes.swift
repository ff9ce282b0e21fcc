internal import Link
internal import Wire

/// The handshakes of ours that are under way, those that are to begin, and whom they count for.
///
/// A handshake is found by its receiver index and by its node. Sources have parts of three quarters of the places; the rest is
/// this end's own.
struct Handshakes {
    private let limit: Int
    private var byIndex: [UInt32: PendingHandshake] = [:]
    private var byNode: [NodeID: PendingHandshake] = [:]
    /// Those that strangers had begun, by whom.
    private var shares: Shares<LinkSource>
    private var wanted: [WantedLink] = []

    /// Room for `limit` handshakes at once.
    init(limit: Int) {
        self.limit = limit
        let ofStrangers = max(1, limit - limit / 4)
        shares = Shares(capacity: ofStrangers, most: ofStrangers)
    }

    /// How many are under way or to begin.
    var count: Int { byIndex.count + wanted.count }

    /// Whether there is a place for another one.
    var hasRoom: Bool { byIndex.count < limit }

    /// Those under way.
    var all: [PendingHandshake] { Array(byIndex.values) }

    /// The one with a receiver index.
    func find(_ index: UInt32) -> PendingHandshake? { byIndex[index] }

    /// The one with a node.
    func find(_ node: NodeID) -> PendingHandshake? { byNode[node] }

    /// Notes a link that is to be begun.
    mutating func want(_ link: WantedLink) { wanted.append(link) }

    /// Takes out the links that are to be begun.
    mutating func takeWanted() -> [WantedLink] {
        defer { wanted = [] }
        return wanted
    }

    /// The handshake that gives way before another of `source` may begin.
    func loser(to source: LinkSource) -> PendingHandshake? {
        guard case .makeRoom(let largest) = shares.admission(for: source) else { return nil }
        return byIndex.values.first { $0.source == largest }
    }

    /// Counts a handshake for `source`; false when there is none for it.
    mutating func take(for source: LinkSource) -> Bool { shares.take(for: source) == .granted }

    /// Gives back what `take` took, where the handshake does not begin.
    mutating func release(_ source: LinkSource) { shares.release(source) }

    /// Lets a handshake count for nobody but this end.
    mutating func disown(_ pending: PendingHandshake) {
        if let source = pending.source { shares.release(source) }
        pending.source = nil
    }

    /// Adds a handshake, which has been counted for its source.
    mutating func insert(_ pending: PendingHandshake) {
        byIndex[pending.initiator.localIndex] = pending
        byNode[pending.node] = pending
    }

    /// Takes a handshake out.
    mutating func remove(_ pending: PendingHandshake) {
        disown(pending)
        byIndex[pending.initiator.localIndex] = nil
        byNode[pending.node] = nil
    }
}
