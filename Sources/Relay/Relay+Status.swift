internal import Directory
internal import EventLoop
internal import Link
internal import Links
internal import Onion
internal import OnionCrypto
public import Registry
public import Wire

extension Relay {
    /// The bytes of all packets received and sent, without those that no path or no layer took.
    ///
    /// So a month's bytes are not used up by packets that go nowhere, which a client could repeat at no cost.
    public var bytesPassed: UInt64 {
        let own = links.counters
        let packets = own.packetsReceived &+ own.packetsSent &+ links.othersPassed
        return (packets - min(paths.drops.reduce(0, &+), packets)) &* UInt64(network.packetSize)
    }

    /// Limits ``bytesPassed`` to `rate` per second; 0: no such limit.
    public func pace(_ rate: UInt64) { sessions.rateGate.pace(rate) { [unowned self] in bytesPassed } }

    /// The counters of all workers, worker 0 first; those of the others are up to a second old.
    private var counters: [WorkerCounters] {
        var own = WorkerCounters(worker: 0)
        (own.links, own.sockets, own.drops) = (links.counters, links.socketCounters, paths.drops)
        return [own] + (crew?.counters ?? [])
    }

    private static func packets(_ counters: [WorkerCounters]) -> (received: UInt64, sent: UInt64) {
        counters.reduce((0, 0)) { ($0.0 &+ $1.links.packetsReceived, $0.1 &+ $1.links.packetsSent) }
    }

    /// The numbers of drops by the reason's name; only reasons that occurred.
    private func drops(_ counters: [WorkerCounters]) -> [String: UInt64] {
        var drops: [String: UInt64] = [:]
        for worker in counters {
            drops.merge(worker.links.drops.byName, uniquingKeysWith: &+)
            for socket in worker.sockets { drops.merge(socket.drops, uniquingKeysWith: &+) }
            for reason in DropReason.allCases where worker.drops[Int(reason.rawValue)] > 0 {
                drops[reason.name, default: 0] &+= worker.drops[Int(reason.rawValue)]
            }
            let lost = worker.links.packetsNotHandedOn &+ worker.undelivered
            if lost > 0 { drops["workerFull", default: 0] &+= lost }
        }
        if let exit { drops.merge(exit.datagramDrops.byName, uniquingKeysWith: &+) }
        return drops
    }

    private func workers(_ counters: [WorkerCounters]) -> [WorkerStatus] {
        guard let crew else { return [] }
        return zip(counters, crew.loads).map { worker, load in
            WorkerStatus(
                load: load, packetsIn: worker.links.packetsReceived, packetsOut: worker.links.packetsSent,
                handedOn: worker.links.packetsHandedOn)
        }
    }

    /// The present state of the relay.
    public var status: RelayStatus {
        let counters = counters
        let (received, sent) = Self.packets(counters)
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
            packetsIn: received, packetsOut: sent, bytesIn: received &* UInt64(network.packetSize),
            bytesOut: sent &* UInt64(network.packetSize), drops: drops(counters), builds: builds.builds,
            refusals: builds.refusals, requests: requests.status, store: swarm?.status, watching: watching.status,
            workers: workers(counters))
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
        if let problem = swarm?.problem { return problem }
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
