internal import BuildInfo
internal import Client
internal import Control
internal import Directory
internal import Wire

extension StatusReport {
    /// The report of a client.
    init(_ status: ClientStatus, paths: [PathStatus]) {
        self.init(role: .client, version: versionAndCommit)
        ready = status.isReady
        problem = status.problem
        socks = status.socks.map(\.description)
        socksFlags = status.socksFlags
        dns = status.dns.isEmpty ? nil : status.dns.map(\.description)
        links = status.links
        self.paths = paths.count { $0.state == .ready }
        sessions = status.sessions
        streams = status.streams
        associations = status.associations
        descriptors = status.descriptors
        snapshot = SnapshotReport(
            height: status.snapshot.height, digest: status.snapshot.digest, time: status.snapshot.time.seconds,
            nodes: status.snapshot.nodes, witnesses: status.witnesses, contradicted: status.isContradicted,
            list: status.snapshot.list)
        total = .init(
            packetsIn: status.packetsIn, packetsOut: status.packetsOut, bytesIn: status.bytesIn,
            bytesOut: status.bytesOut)
        drops = status.drops
        builds = status.builds
        failedBuilds = status.failedBuilds
        buildTimes = status.buildTimes.map { ($0.inMilliseconds * 1000).rounded() / 1000 }
    }
}

extension PathsReport {
    /// A client's paths.
    init(_ paths: [PathStatus]) {
        self.init(
            paths: paths.map {
                Path(
                    hops: $0.hops.map(\.description), state: $0.state.rawValue, active: $0.isActive,
                    age: $0.age.inSeconds, guardRoundTrip: $0.guardRoundTrip?.inMilliseconds,
                    roundTrip: $0.roundTrip?.inMilliseconds, buildTime: $0.buildTime?.inMilliseconds,
                    bytesIn: $0.bytesIn, bytesOut: $0.bytesOut)
            })
    }
}

extension ExitsReport {
    /// The exits that a client may use.
    init(_ exits: [ExitStatus]) {
        self.init(
            exits: exits.map {
                Exit(
                    node: $0.node.description, country: $0.country, up: $0.isUp,
                    buildTime: $0.buildTime?.inMilliseconds, sessions: $0.sessions)
            })
    }
}

extension StreamsReport {
    /// The report of a client's isolation keys and their streams.
    init(_ keys: [KeyStatus]) {
        self.init(
            keys: keys.map {
                Key(
                    label: $0.label, streams: $0.streams, sessions: $0.sessions, exit: $0.exit.description,
                    age: $0.age.inSeconds, roundTrip: $0.roundTrip?.inMilliseconds, bytesIn: $0.bytesIn,
                    bytesOut: $0.bytesOut)
            })
    }
}
