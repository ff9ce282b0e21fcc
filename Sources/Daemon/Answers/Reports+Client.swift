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
        self.problem = status.problem?.sentence
        self.socks = status.socks.map(\.description)
        self.socksFlags = status.socksFlags
        self.dns = status.dns.isEmpty ? nil : status.dns.map(\.description)
        self.links = status.links
        self.paths = paths.count { $0.state == .ready }
        self.sessions = status.sessions
        self.streams = status.streams
        self.associations = status.associations
        self.descriptors = status.descriptors
        add(status.snapshot)
        self.witnesses = status.witnesses
        self.contradicted = status.isContradicted
        total = .init(
            packetsIn: status.packetsIn, packetsOut: status.packetsOut, bytesIn: status.bytesIn,
            bytesOut: status.bytesOut)
        self.drops = status.drops
        self.builds = status.builds
        self.failedBuilds = status.failedBuilds
        self.buildTimes = status.buildTimes.map(\.inMilliseconds)
        self.requestsBegun = status.requests.begun
        self.requestsAnswered = status.requests.answered
        self.requestsFailed = status.requests.failed
        self.requestsPending = status.requests.pending
    }

    /// Sets the figures of the trusted snapshot.
    mutating func add(_ snapshot: SnapshotStatus) {
        self.snapshotHeight = snapshot.height
        self.snapshotDigest = snapshot.digest
        self.snapshotTime = snapshot.time.seconds
        self.snapshotNodes = snapshot.nodes
        self.list = snapshot.list
    }
}

extension PathsReport {
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
