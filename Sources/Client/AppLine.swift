/// The apps of one isolation key that wait for a stream, in order of arrival.
struct AppLine {
    private var apps: [any SessionApp] = []
    private var head = 0

    /// The number of apps in the line, including those that no longer wait.
    var count: Int { apps.count - head }

    /// Whether an app still waits; apps before it that no longer wait are dropped.
    var isWaiting: Bool {
        mutating get {
            while head < apps.count, apps[head].isOver { head += 1 }
            // Done rarely, so that each app is moved only a few times.
            if head > 64, head * 2 > apps.count {
                apps.removeFirst(head)
                head = 0
            }
            return head < apps.count
        }
    }

    mutating func append(_ app: some SessionApp) { apps.append(app) }

    /// Removes and returns the first app that still waits.
    mutating func next() -> (any SessionApp)? {
        guard isWaiting else { return nil }
        head += 1
        return apps[head - 1]
    }
}
