internal import Directory
internal import EventLoop
internal import Link
internal import Links
internal import Onion
internal import OnionCrypto
public import Registry
public import Wire

extension Relay {
    /// The bytes of all packets received and sent.
    public var bytesPassed: UInt64 {
        (links.counters.packetsReceived &+ links.counters.packetsSent) &* UInt64(network.packetSize)
    }

    /// The present state of the relay.
    public var status: RelayStatus {
        let counters = links.counters
        var drops = counters.drops.byName
        drops.merge(links.socketDrops, uniquingKeysWith: &+)
        for reason in DropReason.allCases where paths.drops[Int(reason.rawValue)] > 0 {
            drops[reason.name, default: 0] += paths.drops[Int(reason.rawValue)]
        }
        if let exit { drops.merge(exit.datagramDrops.byName) { $0 + $1 } }
        return RelayStatus(
            nodeID: node, addresses: listenAddresses, isExit: configuration.isExit,
            isReady: cannotServe == nil && ledger?.failure == nil && isActive && life.takesPaths,
            problem: problem,
            isDraining: !life.takesPaths, links: links.status.nodes + links.status.clients, paths: paths.pathCount,
            sessions: sessions.sessionCount, streams: sessions.streamCount,
            associations: exit?.associations.count ?? 0, descriptors: directory.nodes.descriptors.count,
            snapshot: SnapshotStatus(
                directory.epochs.snapshot, digest: directory.epochs.digest, list: directory.lists.certified?.round),
            registryProblem: directory.epochs.problem,
            packetsIn: counters.packetsReceived, packetsOut: counters.packetsSent,
            bytesIn: counters.packetsReceived * UInt64(network.packetSize),
            bytesOut: counters.packetsSent * UInt64(network.packetSize), drops: drops, builds: builds.builds,
            refusals: builds.refusals, requests: requests.status, watching: watching.status)
    }

    /// The problem that the operator must know of; nil if there is none.
    var problem: RelayProblem? {
        if isResting { return .rests }
        if !life.takesPaths { return .drains }
        if let problem = cannotServe { return problem }
        if let error = ledger?.failure { return .registry(.unwritable(error)) }
        if !isActive { return .standing(standing) }
        if let problem = directory.epochs.problem { return .registry(problem) }
        if let error = directory.keeper.error { return .unsaved(error) }
        if let exit, exit.resolver.isUnanswered { return .noNameServer }
        return watching.warningKind.map(RelayProblem.warning)
    }

    /// Whether clients may choose this node: it is staked in the trusted snapshot, and active in the ledger.
    var isActive: Bool {
        directory.epochs.snapshot.isStaked(node) && (ledger.map { $0.state.nodes[node]?.standing == .active } ?? true)
    }

    /// The reason why clients may not choose this node while it is not ``isActive``.
    var standing: RelayProblem.Standing {
        let snapshot = directory.epochs.snapshot
        guard let state = ledger?.state else {
            return snapshot.entry(of: node)?.state == .suspended
                ? .suspended(watching.warningKind) : .unstaked(height: snapshot.height)
        }
        guard let own = state.nodes[node] else {
            guard let lock = state.locks.last(where: { $0.node == node }) else { return .unregistered }
            return .deregistered(grace: state.parameters.creditGrace, lockedUntil: UnixTime(seconds: lock.until))
        }
        switch own.standing {
        case .open: return .open
        case .active: return .activeSoon
        case .decommissioned where own.isInMaintenance:
            return .maintenance(until: UnixTime(seconds: own.maintenanceEnd))
        case .decommissioned: return .decommissioned(deregistersAt: UnixTime(seconds: own.deregistersAt))
        }
    }

    /// This node's request for maintenance of `seconds` seconds, or to end it if 0; nil if the node is not registered.
    public func maintenance(_ seconds: UInt32) -> RegistryOperation? {
        guard let state = ledger?.state, state.nodes[node] != nil, state.height > 0 else { return nil }
        return RegistryOperation(
            maintaining: publication.identity.signingKey, seconds: seconds, height: state.height, network: network.id)
    }

    /// The reason why this node cannot serve others; nil if there is none.
    var cannotServe: RelayProblem? {
        if let problem = wrongClock { return problem }
        guard directory.gossip.hasHeard else { return .unheard }
        guard let quiet = solitude.lasts(links.now),
            network.bootstrap.contains(where: { $0.node != node })
        else { return nil }
        return .alone(quiet)
    }

    /// The number of links with other nodes that are up.
    var linkedNodes: Int { links.status.nodes }
    /// This machine's clock minus the other nodes' time; nil before any node has reported its time.
    var clockError: TimeSpan? { links.clockError }
    /// The trusted snapshot.
    public var trustedSnapshot: Snapshot { directory.epochs.snapshot }
    /// The problem with the registry; nil if there is none.
    var registryProblem: RegistryProblem? {
        ledger?.failure.map(RegistryProblem.unwritable) ?? directory.epochs.problem
    }

    /// The results of this node's tests of other nodes.
    public var nodeTests: [NodeTest] { watching.nodeTests }

    /// The problem if this machine's clock is so wrong that other nodes refuse this node's signatures; otherwise nil.
    var wrongClock: RelayProblem? {
        guard let error = links.clockError, abs(error.inSeconds) > Double(DescriptorStore.clockTolerance) else {
            return nil
        }
        let minutes = Int(abs(error.inSeconds) / 60)
        return .wrongClock(minutes: minutes, isAhead: error > .zero)
    }
}
