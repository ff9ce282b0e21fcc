/// The apps of one isolation key that wait for a stream, in the order in which they came.
struct AppLine {
    private var apps: [any SessionApp] = []
    private var head = 0

    /// How many there are, those among them that wait no more.
    var count: Int { apps.count - head }

    /// Whether one of them still waits; those before it that do not are forgotten.
    var isWaiting: Bool {
        mutating get {
            while head < apps.count, apps[head].isOver { head += 1 }
            // Now and then, so that each is moved a few times at most.
            if head > 64, head * 2 > apps.count {
                apps.removeFirst(head)
                head = 0
            }
            return head < apps.count
        }
    }

    /// Puts `app` at the end.
    mutating func append(_ app: some SessionApp) { apps.append(app) }

    /// The first that still waits, which leaves the line.
    mutating func next() -> (any SessionApp)? {
        guard isWaiting else { return nil }
        head += 1
        return apps[head - 1]
    }
}
