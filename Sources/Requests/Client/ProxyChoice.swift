public import Wire

/// A staked node that a client may choose as a proxy.
public struct RequestNode: Hashable, Sendable {
    /// The node's id.
    public let id: NodeID
    /// The operator's account.
    public let operatorID: Bytes32
    /// The node's weight; 0 counts as 1.
    public let weight: UInt32

    /// A node with the values of a snapshot.
    public init(id: NodeID, operatorID: Bytes32, weight: UInt32) {
        self.id = id
        self.operatorID = operatorID
        self.weight = weight
    }
}

/// Draws a proxy at random (protocol.md, section 13.6).
public enum ProxyChoice {
    /// A node drawn by weight, regardless of guards and inner hops; nil if none is left.
    ///
    /// The node is never the target, nor one of `avoided`. It is not of the target's operator and not in `swarm`, if
    /// there are others. In a small network `swarm` is given up first, then the operator. A node of `missed` is drawn
    /// only if no other node remains.
    public static func draw(
        from nodes: [RequestNode], target: NodeID, swarm: Set<NodeID>, avoided: (NodeID) -> Bool,
        missed: (NodeID) -> Bool = { _ in false }, using random: inout some RandomNumberGenerator
    ) -> NodeID? {
        let owner = nodes.first { $0.id == target }?.operatorID
        let possible = nodes.filter { $0.id != target && !avoided($0.id) }
        let foreign = possible.filter { $0.operatorID != owner }
        let outside = foreign.filter { !swarm.contains($0.id) }
        let fitting = !outside.isEmpty ? outside : !foreign.isEmpty ? foreign : possible
        let untried = fitting.filter { !missed($0.id) }
        let wanted = untried.isEmpty ? fitting : untried
        let sum = wanted.reduce(UInt64(0)) { $0 + UInt64(max(1, $1.weight)) }
        guard sum > 0 else { return nil }
        var rest = UInt64.random(in: 0..<sum, using: &random)
        return wanted.first { node in
            let weight = UInt64(max(1, node.weight))
            guard rest >= weight else { return true }
            rest -= weight
            return false
        }?.id
    }
}

/// The last 64 times from request to answer, for each class of envelope.
struct AnswerTimes {
    private static let kept = 64
    private var times: [RequestClass: [TimeSpan]] = [:]
    private var next: [RequestClass: Int] = [:]

    mutating func add(_ time: TimeSpan, of size: RequestClass) {
        let place = next[size] ?? 0
        if times[size, default: []].count < Self.kept {
            times[size, default: []].append(time)
        } else {
            times[size]?[place] = time
        }
        next[size] = (place + 1) % Self.kept
    }

    /// The wait before another target is asked: 1.5 × the 95th percentile, at least 600 ms.
    func hedge(of size: RequestClass) -> TimeSpan {
        guard let sorted = times[size]?.sorted(), !sorted.isEmpty else { return RequestClient.shortestHedge }
        let percentile = sorted[min(sorted.count - 1, sorted.count * 95 / 100)]
        return max(RequestClient.shortestHedge, percentile * 3 / 2)
    }
}
