public import Swarm
public import Wire

/// The periods and replicas of services by one trusted snapshot (protocol.md, sections 12.3 and 14.2).
public struct ServiceSwarms: Sendable {
    /// The network's id.
    public let network: Bytes32
    /// The period of the snapshot.
    public let period: TimePeriod
    private let snapshot: Snapshot
    private let shards: Int
    private let swarmSize: Int

    /// The swarms of `snapshot`; without shards there are none.
    public init(_ snapshot: Snapshot, shards: Int, swarmSize: Int) {
        network = snapshot.network
        period = TimePeriod(of: snapshot.time, seconds: ServiceLimits.periodSeconds)
        self.snapshot = snapshot
        self.shards = shards
        self.swarmSize = swarmSize
    }

    /// The height of the snapshot.
    public var height: UInt64 { snapshot.height }

    /// The swarm of `box`; nil if the network has no store, or no node is staked.
    ///
    /// It takes one mix for each node.
    public func swarm(of box: Bytes32) -> BoxSwarm? {
        BoxSwarm(of: box, by: snapshot, shards: shards, swarmSize: swarmSize)
    }
}

/// A request to one replica of a box, sent as an onion request over a session of this box alone.
public struct ReplicaQuestion: Sendable {
    /// Names the question when its answer comes; no number is used twice.
    public let number: UInt64
    /// The node to ask.
    public let replica: NodeID
    /// The box with its replicas, which are no proxies for it as long as there are others.
    public let swarm: BoxSwarm
    /// The method and its arguments.
    public let request: StoreRequest
}
