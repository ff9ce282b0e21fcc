internal import Link
internal import Wire

/// This end's handshakes: those under way, and those about to begin.
///
/// A handshake is found by its receiver index or by its node. Handshakes that others asked for share three quarters of
/// the places, by source; the last quarter is for this end's own.
struct Handshakes {
    private let limit: Int
    private var byIndex: [UInt32: PendingHandshake] = [:]
    private var byNode: [NodeID: PendingHandshake] = [:]
    /// The places of handshakes that others asked for, by source.
    private var shares: Shares<LinkSource>
    private var wanted: [WantedLink] = []

    /// Room for `limit` handshakes at once.
    init(limit: Int) {
        self.limit = limit
        let ofStrangers = max(1, limit - limit / 4)
        shares = Shares(capacity: ofStrangers, most: ofStrangers)
    }

    /// The number of handshakes under way or about to begin.
    var count: Int { byIndex.count + wanted.count }

    /// Whether another handshake has a place.
    var hasRoom: Bool { byIndex.count < limit }

    /// The handshakes under way.
    var all: [PendingHandshake] { Array(byIndex.values) }

    /// The handshake with the receiver index `index`.
    func find(_ index: UInt32) -> PendingHandshake? { byIndex[index] }

    /// The handshake with `node`.
    func find(_ node: NodeID) -> PendingHandshake? { byNode[node] }

    /// Adds a link that is about to be begun.
    mutating func want(_ link: WantedLink) { wanted.append(link) }

    /// Removes and returns the links that are about to be begun.
    mutating func takeWanted() -> [WantedLink] {
        defer { wanted = [] }
        return wanted
    }

    /// The handshake that must end before another of `source` can begin; nil if none must.
    func loser(to source: LinkSource) -> PendingHandshake? {
        guard case .makeRoom(let largest) = shares.admission(for: source) else { return nil }
        return byIndex.values.first { $0.source == largest }
    }

    /// Takes a place for a handshake of `source`; false if there is none.
    mutating func take(for source: LinkSource) -> Bool { shares.take(for: source) == .granted }

    /// Releases a place that `take` returned, if the handshake does not begin.
    mutating func release(_ source: LinkSource) { shares.release(source) }

    /// Makes a handshake this end's own: it releases its source's place.
    mutating func disown(_ pending: PendingHandshake) {
        if let source = pending.source { shares.release(source) }
        pending.source = nil
    }

    /// Adds a handshake that has its place.
    mutating func insert(_ pending: PendingHandshake) {
        byIndex[pending.initiator.localIndex] = pending
        byNode[pending.node] = pending
    }

    /// Removes a handshake and releases its place.
    mutating func remove(_ pending: PendingHandshake) {
        disown(pending)
        byIndex[pending.initiator.localIndex] = nil
        byNode[pending.node] = nil
    }
}
