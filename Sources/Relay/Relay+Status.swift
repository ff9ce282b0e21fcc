internal import Directory
internal import EventLoop
internal import Link
internal import Links
internal import Onion
internal import OnionCrypto
public import Registry
public import Wire

extension Relay {
    /// The problem when the name servers do not answer.
    static let noNameServer =
        "The name servers do not answer: names cannot be looked up; see /etc/resolv.conf, or 'exit_resolver'."

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

    /// The problem that the operator must know of, in one sentence; nil if there is none.
    var problem: String? {
        if isResting { return "It rests: the month's bytes are used up; no new paths are taken." }
        if !life.takesPaths { return "It drains: no new paths are taken." }
        if let error = cannotServe { return error }
        if let failure = ledger?.failure { return failure }
        if !isActive { return standingProblem }
        if let problem = directory.epochs.problem {
            return "The registry: \(problem)\(problem.hasSuffix(".") ? "" : ".")"
        }
        if let error = directory.keeper.error { return "The state of the network cannot be saved: \(error)." }
        if let exit, exit.resolver.isUnanswered { return Self.noNameServer }
        return watching.status.warning
    }

    /// Whether clients may choose this node: it is staked in the trusted snapshot, and active in the ledger.
    var isActive: Bool {
        directory.epochs.snapshot.isStaked(node) && (ledger.map { $0.state.nodes[node]?.standing == .active } ?? true)
    }

    /// The reason why clients may not choose this node, in one or two sentences.
    var standingProblem: String {
        let listed = directory.epochs.snapshot.entry(of: node)?.state
        guard let state = ledger?.state else {
            return listed == .suspended
                ? watching.status.warning ?? "This node is decommissioned."
                : "This node is not staked in the snapshot of height \(directory.epochs.snapshot.height)."
        }
        guard let own = state.nodes[node] else {
            guard let lock = state.locks.last(where: { $0.node == node }) else {
                return "This node is not registered: no path leads over it until it is; see 'tunic stake register'."
            }
            return
                "This node was deregistered: it did not serve for longer than its credit and the "
                + "\(Self.text(ofGrace: state.parameters.creditGrace)) of grace after it. Its stake is locked until "
                + "\(UnixTime(seconds: lock.until).dateText); to serve again, register it with another stake "
                + "('tunic stake register')."
        }
        switch own.standing {
        case .open:
            return "The stake of this node is not full: no path leads over it until it is; see 'tunic nodes'."
        case .active: return "This node is active, and is used from the next epoch on."
        case .decommissioned where own.isInMaintenance:
            return
                "This node is in maintenance until \(UnixTime(seconds: own.maintenanceEnd).dateText), as it asked; "
                + "'tunic maintenance end' has it used again before."
        case .decommissioned:
            return
                "This node is decommissioned: others found that it did not serve. It is used again when it passes their "
                + "tests, or else deregistered at \(UnixTime(seconds: own.deregistersAt).dateText) and its stake locked; "
                + "see that its UDP port can be reached, and run 'tunic relay --check'."
        }
    }

    /// The text of a grace of `seconds` seconds for users.
    static func text(ofGrace seconds: UInt32) -> String {
        seconds > 0 && seconds % 60 == 0 ? "\(seconds / 60) min" : "\(seconds) s"
    }

    /// This node's request for maintenance of `seconds` seconds, or to end it if 0; nil if the node is not registered.
    public func maintenance(_ seconds: UInt32) -> RegistryOperation? {
        guard let state = ledger?.state, state.nodes[node] != nil, state.height > 0 else { return nil }
        return RegistryOperation(
            maintaining: publication.identity.signingKey, seconds: seconds, height: state.height, network: network.id)
    }

    /// The reason why this node cannot serve others, in one sentence; nil if there is none.
    var cannotServe: String? {
        if let error = wrongClock { return error }
        guard directory.gossip.hasHeard else { return "No other node has answered yet." }
        guard let quiet = solitude.lasts(links.now),
            network.bootstrap.contains(where: { $0.node != node })
        else { return nil }
        return "No other node answers any more, for \(Int(quiet.inSeconds)) s; see whether this machine is online."
    }

    /// The number of links with other nodes that are up.
    var linkedNodes: Int { links.status.nodes }
    /// This machine's clock minus the other nodes' time; nil before any node has reported its time.
    var clockError: TimeSpan? { links.clockError }
    /// The trusted snapshot.
    public var trustedSnapshot: Snapshot { directory.epochs.snapshot }
    /// The problem with the registry; nil if there is none.
    var registryProblem: String? { ledger?.failure ?? directory.epochs.problem }

    /// The results of this node's tests of other nodes.
    public var nodeTests: [NodeTest] { watching.nodeTests }

    /// The problem if this machine's clock is so wrong that other nodes refuse this node's signatures; nil otherwise.
    var wrongClock: String? {
        guard let error = links.clockError, abs(error.inSeconds) > Double(DescriptorStore.clockTolerance) else {
            return nil
        }
        let minutes = Int(abs(error.inSeconds) / 60)
        return
            "The clock of this machine is \(minutes) minutes \(error > .zero ? "ahead of" : "behind") the other nodes'; "
            + "set it, and keep it right with an NTP daemon."
    }
}
