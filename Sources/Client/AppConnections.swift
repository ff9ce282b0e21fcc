internal import Wire

/// The apps that are connected to a client's proxy ports, and which of them gives way at the limit.
final class AppConnections {
    private let limit: Int
    private(set) var all: [ObjectIdentifier: SocksConnection] = [:]
    private var unfinished: [SocksConnection] = []
    /// With how many of these it is time to forget those that have finished.
    private var unfinishedLimit = 64
    /// How long apps that may be gone have moved nothing when they give way before unfinished handshakes do.
    var silence = TimeSpan.seconds(30)
    /// The apps that may be gone, those that have moved nothing for longest last; filled once a second at the limit.
    private var silent: [SocksConnection] = []
    private var nextSort = Instant(nanoseconds: 0)

    /// At most `limit` apps.
    init(limit: Int) { self.limit = limit }

    /// Whether there is room for another app; at the limit one is ended for it, where one may be.
    func makeRoom(_ now: Instant) -> Bool {
        // Now and then, so that many who say nothing cost a newcomer nothing.
        if unfinished.count >= unfinishedLimit {
            unfinished.removeAll { !$0.isUnfinished }
            unfinishedLimit = max(64, unfinished.count * 2)
        }
        return all.count < limit || endOne(now)
    }

    /// Ends a connection: one whose app has long been silent and may be gone, or the oldest unfinished handshake, or one whose app
    /// may be gone.
    private func endOne(_ now: Instant) -> Bool {
        if now >= nextSort {
            nextSort = now + .seconds(1)
            silent = all.values.filter { $0.deafSince != nil }
                .sorted { ($0.deafSince ?? now) > ($1.deafSince ?? now) }
        }
        while let app = silent.last, app.deafSince == nil { silent.removeLast() }
        if let app = silent.last, let since = app.deafSince, now - since >= silence {
            silent.removeLast()
            app.end()
            return true
        }
        if let place = unfinished.firstIndex(where: \.isUnfinished) {
            let oldest = unfinished[place]
            unfinished.removeFirst(place + 1)
            oldest.end()
            return true
        }
        guard let app = silent.popLast() else { return false }
        app.end()
        return true
    }

    /// Keeps a newcomer.
    func add(_ connection: SocksConnection) {
        all[ObjectIdentifier(connection)] = connection
        unfinished.append(connection)
    }

    /// A connection is over.
    func remove(_ connection: SocksConnection) { all[ObjectIdentifier(connection)] = nil }

    /// Ends those whose apps are gone without a word; to be called once a minute.
    func look(_ now: Instant) {
        for connection in all.values { connection.look(now) }
        forgetSilent()
    }

    /// Has the next newcomer at the limit look for silent apps anew.
    func forgetSilent() {
        silent = []
        nextSort = Instant(nanoseconds: 0)
    }

    /// Ends all.
    func close() { for connection in all.values { connection.end() } }
}
