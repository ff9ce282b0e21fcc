internal import Directory
internal import EventLoop
internal import Link
internal import Links
internal import Onion
internal import Sessions
public import Wire

/// The state that a client shows its user.
extension Client {
    /// The addresses at which apps can connect.
    public var socksAddresses: [ProxyAddress] { ports.addresses }

    /// The addresses at which DNS is answered.
    public var dnsAddresses: [Endpoint] { dnsPorts.map(\.address) }

    /// How many of the process's own streams are bridged to sockets.
    public var socketCount: Int { sockets.count }

    /// The client's present state.
    public var status: ClientStatus {
        let counters = pool.links.counters
        let packetSize = UInt64(directory.network.packetSize)
        var drops = counters.drops.byName
        drops.merge(pool.links.socketDrops, uniquingKeysWith: &+)
        for reason in DropReason.allCases where pool.drops[Int(reason.rawValue)] > 0 {
            drops[reason.name, default: 0] += pool.drops[Int(reason.rawValue)]
        }
        drops.merge(associations.drops.byName) { $0 + $1 }
        return ClientStatus(
            socks: socksAddresses, socksFlags: ports.flags, dns: dnsAddresses,
            isReady: sessions.readiness.isReady, problem: problem,
            links: pool.links.status.nodes,
            sessions: sessions.all.count, streams: sessions.all.reduce(0) { $0 + $1.streamCount },
            associations: associations.count,
            descriptors: directory.descriptorCount, snapshot: directory.snapshotStatus,
            witnesses: directory.trust.witnesses.count, isContradicted: directory.trust.isContradicted,
            packetsIn: counters.packetsReceived,
            packetsOut: counters.packetsSent, bytesIn: counters.packetsReceived * packetSize,
            bytesOut: counters.packetsSent * packetSize, drops: drops, builds: pool.counts.built,
            failedBuilds: pool.counts.failed, buildTimes: pool.counts.times,
            requests: (requests.counts.begun, requests.counts.answered, requests.counts.failed, requests.pending))
    }

    /// The present problem; nil if there is none.
    var problem: ClientProblem? {
        let hops = pool.hops
        guard !sessions.readiness.isReady else {
            return directory.keeper.error.map(ClientProblem.unsaved) ?? directory.clockProblem
        }
        if let problem = directory.lacksSource ?? directory.staleness ?? directory.gap { return problem }
        if let problem = directory.clockProblem, !directory.canChoose(hops: hops) { return problem }
        if let lack = directory.lack, directory.schedule.hasSucceeded || directory.guards.primaries.isEmpty {
            return lack
        }
        if let choice = directory.choice, choice.nodes >= hops {
            if choice.exits == 0 { return .noExit(nodes: choice.nodes) }
            if choice.usableExits == 0 { return .noUsableExit(exits: choice.exits) }
            if choice.hops < hops { return .tooFewUsable(choice.hops, of: choice.nodes, hops: hops) }
        }
        if !directory.canChoose(hops: hops) {
            return .tooFewKnown(directory.descriptorCount, of: directory.nodeCount, hops: hops)
        }
        return pool.counts.lastFailure.map(ClientProblem.build) ?? .firstPath
    }

    /// The steps of the start, and whether each is done.
    public var progress: [(step: StartStep, isDone: Bool)] {
        let isReady = sessions.readiness.isReady
        let isFound = isReady || directory.schedule.hasSucceeded
        // If the user's choice leaves no path, the snapshot is not at fault.
        let canChoose =
            directory.choiceLeavesNothing(hops: pool.hops) || directory.canChoose(hops: pool.hops)
        let isVerified = isFound && !directory.isStale && canChoose
        return [
            (.networkFound, isFound),
            (.snapshotVerified, isReady || isVerified),
            (.guardsLinked, isReady || isVerified && pool.all.contains { $0.link != nil }),
            (.pathsReady, isReady),
        ]
    }

    /// All paths, those that carry a session's data first.
    public var paths: [PathStatus] {
        let now = pool.now
        return pool.all.map { path in
            PathStatus(
                hops: path.hops, state: path.state == .ready ? .ready : path.state == .building ? .building : .dead,
                isActive: path.session?.isActive(path) ?? false, age: now - path.since,
                guardRoundTrip: path.link.flatMap { pool.links.roundTrip(of: $0) },
                roundTrip: path.session?.roundTrip(of: path), buildTime: path.buildTime, bytesIn: path.bytesIn,
                bytesOut: path.bytesOut)
        }.sorted { $0.isActive && !$1.isActive }
    }

    /// The exits that may be used, those in use first.
    public var exits: [ExitStatus] {
        let inUse = sessions.all.map(\.exit)
        return directory.usableExits.map { descriptor in
            let state = exitWatch.states[descriptor.node]
            // A ready path shows that an exit works, even if it was not tried.
            let path = pool.all.filter { $0.state == .ready && $0.exit == descriptor.node }.max { $0.since < $1.since }
            let buildTime = state?.buildTime ?? path?.buildTime
            let isUp: Bool? = state?.isDown ?? false ? false : buildTime == nil ? nil : true
            return ExitStatus(
                node: descriptor.node, country: descriptor.country, isUp: isUp, buildTime: buildTime,
                sessions: inUse.count { $0 == descriptor.node })
        }.sorted { ($1.sessions, $0.node) < ($0.sessions, $1.node) }
    }

    /// The open streams of each isolation key, most streams first.
    public var keys: [KeyStatus] {
        let now = pool.now
        let inUse = sessions.inUse
        return Set(inUse.map(\.key)).compactMap { key in
            let older = inUse.filter { $0.isRetired && $0.key == key }
            // The exit and the path are the current session's or, without one, the newest retired session's.
            guard let session = sessions.current[key] ?? older.last else { return nil }
            let all = older.filter { $0 !== session } + [session]
            let active = session.paths.first { session.isActive($0) }
            return KeyStatus(
                label: label(of: key), streams: all.reduce(0) { $0 + $1.streamCount },
                exit: session.exit, age: now - session.since, roundTrip: active.flatMap { session.roundTrip(of: $0) },
                sessions: all.count, bytesIn: session.paths.reduce(0) { $0 + $1.bytesIn },
                bytesOut: session.paths.reduce(0) { $0 + $1.bytesOut })
        }.sorted { ($1.streams, $0.label) < ($0.streams, $1.label) }
    }
}
