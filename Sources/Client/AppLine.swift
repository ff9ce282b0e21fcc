internal import DequeModule

/// The apps of one isolation key that wait for a stream, in the order in which they came.
struct AppLine {
    private var apps = Deque<any SessionApp>()

    /// How many there are, those among them that wait no more.
    var count: Int { apps.count }

    /// Whether one of them still waits; those before it that do not are forgotten.
    var isWaiting: Bool {
        mutating get {
            while let first = apps.first, first.isOver { apps.removeFirst() }
            return !apps.isEmpty
        }
    }

    /// Puts `app` at the end.
    mutating func append(_ app: some SessionApp) { apps.append(app) }

    /// The first that still waits, which leaves the line.
    mutating func next() -> (any SessionApp)? {
        isWaiting ? apps.popFirst() : nil
    }
}
