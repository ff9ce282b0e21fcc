internal import Directory
internal import EventLoop
internal import Wire

/// What the user of a client can see and ask of its exits and paths.
extension Client {
    /// New streams begin on new paths from now on: those of the isolation key named `label`, or of all; how many keys there were.
    ///
    /// Open streams go on as they are.
    public func renewPaths(label: String?) -> Int {
        let keys = Set(Array(sessions.keys) + retired.map(\.key)).filter { label == nil || self.label(of: $0) == label }
        for key in keys { replace(key) }
        for port in dnsPorts where label == nil || self.label(of: port.isolation) == label {
            // What the old exits have answered would show the new ones that it is the same who asks.
            port.forget()
        }
        if label == nil { pool.renewSpares { _ in true } }
        return keys.count
    }

    /// How far the start has come: each step, and whether it is reached.
    public var progress: [(step: String, isDone: Bool)] {
        let leavesNothing = directory.choiceLeavesNothing(hops: configuration.hops)
        let isReady = pool.hasReadyPath && !leavesNothing
        let isFound = isReady || directory.hasFetched
        // A choice that leaves nothing is none of the snapshot's faults.
        let isVerified =
            isFound && !directory.isStale && (leavesNothing || directory.canChoose(hops: configuration.hops))
        return [
            ("network found", isFound),
            ("snapshot verified", isReady || isVerified),
            ("guards linked", isReady || isVerified && pool.all.contains { $0.link != nil }),
            ("paths ready", isReady),
        ]
    }

    /// The exits that may be used, those in use first.
    public var exits: [ExitStatus] {
        let inUse = Array(sessions.values.map(\.exit)) + retired.map(\.session.exit)
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
        return Set(Array(sessions.keys) + retired.map(\.key)).compactMap { key in
            let older = retired.filter { $0.key == key }.map(\.session)
            // The exit and the path are those of new streams, or, where none has begun since, of the last ones.
            guard let session = sessions[key] ?? older.last else { return nil }
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
