internal import DequeModule

/// The apps of one isolation key that wait for a stream, in order of arrival.
struct AppLine {
    private var apps = Deque<any SessionApp>()

    /// The number of apps in the line, including those that no longer wait.
    var count: Int { apps.count }

    /// Whether an app still waits; apps before it that no longer wait are dropped.
    var isWaiting: Bool {
        mutating get {
            while let first = apps.first, first.isOver { apps.removeFirst() }
            return !apps.isEmpty
        }
    }

    mutating func append(_ app: some SessionApp) { apps.append(app) }

    /// Removes and returns the first app that still waits.
    mutating func next() -> (any SessionApp)? {
        isWaiting ? apps.popFirst() : nil
    }
}
