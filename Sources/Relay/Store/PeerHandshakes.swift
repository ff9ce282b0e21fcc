internal import Wire

/// The replicas that links are being made to, and those that wait for their turn.
///
/// A replica that does not answer holds its place until the handshake gives up. So those that have failed since they
/// last answered have a part of the places only, and the others wait for a place in place of being turned away.
struct PeerHandshakes {
    /// The links that are being made at once, and those to replicas that have failed among them.
    static let places = (all: 32, failed: 8)

    private struct Handshake {
        let peer: NodeID
        let hasFailed: Bool
    }

    private var underway: [NodeID: Handshake] = [:]
    /// In the order in which they came; each replica once.
    private var queue: [Handshake] = []

    /// How many links are being made.
    var count: Int { underway.count }
    /// How many replicas wait.
    var waiting: Int { queue.count }

    /// Takes a place for `peer`, which has none; false if it has to wait.
    mutating func begin(_ peer: NodeID, hasFailed: Bool) -> Bool {
        assert(underway[peer] == nil, "a replica has one place")
        let handshake = Handshake(peer: peer, hasFailed: hasFailed)
        guard hasPlace(for: handshake) else {
            queue.append(handshake)
            return false
        }
        underway[peer] = handshake
        return true
    }

    /// Returns the place of `peer`; the replica whose turn it is then, if any, has one.
    mutating func ended(_ peer: NodeID) -> NodeID? {
        underway[peer] = nil
        guard
            let index = queue.firstIndex(where: { !$0.hasFailed && hasPlace(for: $0) })
                ?? queue.firstIndex(where: { hasPlace(for: $0) })
        else { return nil }
        let next = queue.remove(at: index)
        underway[next.peer] = next
        return next.peer
    }

    private func hasPlace(for handshake: Handshake) -> Bool {
        underway.count < Self.places.all
            && (!handshake.hasFailed || underway.values.count { $0.hasFailed } < Self.places.failed)
    }
}
