internal import Directory
internal import EventLoop
internal import Wire

/// What the user of a client can see and ask of its exits and paths.
extension Client {
    /// New streams begin on new paths from now on: those of the isolation key named `label`, or of all; how many keys there were.
    ///
    /// Open streams go on as they are.
    public func renewPaths(label: String?) -> Int {
        let keys = sessions.keys.filter { label == nil || self.label(of: $0) == label }
        for key in keys { retire(key) }
        if label == nil { pool.renewSpares { _ in true } }
        return keys.count
    }

    /// How far the start has come: each step, and whether it is reached.
    public var progress: [(step: String, isDone: Bool)] {
        let isReady = pool.hasReadyPath
        let isFound = isReady || directory.hasFetched
        let isVerified = isFound && !directory.isStale && directory.canChoose(hops: configuration.hops)
        return [
            ("network found", isFound),
            ("snapshot verified", isReady || isVerified),
            ("guards linked", isReady || isVerified && pool.all.contains { $0.link != nil }),
            ("paths ready", isReady),
        ]
    }

    /// The exits that may be used, those in use first.
    public var exits: [ExitStatus] {
        let inUse = sessions.values.map(\.exit)
        return directory.usableExits.map { descriptor in
            let state = exitWatch.states[descriptor.node]
            // One that was not tried is known by a path that stands.
            let path = pool.all.filter { $0.state == .ready && $0.exit == descriptor.node }.max { $0.since < $1.since }
            let buildTime = state?.buildTime ?? path?.buildTime
            let isUp: Bool? = state?.isDown ?? false ? false : buildTime == nil ? nil : true
            return ExitStatus(
                node: descriptor.node, country: descriptor.country, isUp: isUp, buildTime: buildTime,
                sessions: inUse.count { $0 == descriptor.node })
        }.sorted { ($1.sessions, $0.node) < ($0.sessions, $1.node) }
    }

    /// What each isolation key's apps have open, most streams first.
    public var keys: [KeyStatus] {
        let now = Instant(nanoseconds: loop.now)
        return sessions.map { key, session in
            let older = retired.filter { $0.key == key }
            let active = session.paths.first { session.isActive($0) }
            return KeyStatus(
                label: label(of: key), streams: older.reduce(session.streamCount) { $0 + $1.session.streamCount },
                exit: session.exit, age: now - session.since, roundTrip: active.flatMap { session.roundTrip(of: $0) },
                sessions: 1 + older.count, bytesIn: session.paths.reduce(0) { $0 + $1.bytesIn },
                bytesOut: session.paths.reduce(0) { $0 + $1.bytesOut })
        }.sorted { ($1.streams, $0.label) < ($0.streams, $1.label) }
    }
}
