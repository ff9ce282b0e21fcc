internal import DequeModule

/// The apps of one isolation key that wait for a stream, in order of arrival.
struct AppQueue {
    private var apps = Deque<any SessionApp>()
    /// The size at which apps that no longer wait are removed from the middle of the queue.
    private var sweepSize = 64

    /// The number of apps in the queue, including at most 64, or as many as wait, that no longer do.
    var count: Int { apps.count }

    /// Whether fewer than `limit` apps wait.
    ///
    /// Apps of several users may wait in one queue. Those that were ended for others must not fill it.
    mutating func hasRoom(_ limit: Int) -> Bool {
        if apps.count >= limit { apps.removeAll { $0.isOver } }
        return apps.count < limit
    }

    /// Whether an app still waits; apps before it that no longer wait are dropped.
    var isWaiting: Bool {
        mutating get {
            while let first = apps.first, first.isOver { apps.removeFirst() }
            return !apps.isEmpty
        }
    }

    mutating func append(_ app: some SessionApp) {
        // Done rarely, so that many apps that have given up do not slow down each new one.
        if apps.count >= sweepSize {
            apps.removeAll { $0.isOver }
            sweepSize = max(64, apps.count * 2)
        }
        apps.append(app)
    }

    /// Removes and returns the first app that still waits.
    mutating func next() -> (any SessionApp)? {
        isWaiting ? apps.popFirst() : nil
    }
}
