internal import Wire

/// The apps that are connected to a client's proxy ports; at the limit one of them gives way to a new app.
final class AppConnections {
    private let limit: Int
    private(set) var all: [ObjectIdentifier: SocksConnection] = [:]
    private var unfinished: [SocksConnection] = []
    /// The size of `unfinished` at which finished handshakes are removed from it.
    private var unfinishedLimit = 64
    /// How long an app that may be gone must have moved nothing to give way before unfinished handshakes do.
    var silence = TimeSpan.seconds(30)
    /// The apps that may be gone, the longest inactive one last; filled at most once a second, at the limit.
    private var silent: [SocksConnection] = []
    private var nextSort = Instant(nanoseconds: 0)

    /// An empty table for at most `limit` apps.
    init(limit: Int) { self.limit = limit }

    /// Whether there is room for another app; at the limit, tries to end one for it.
    func makeRoom(_ now: Instant) -> Bool {
        // Done rarely, so that many silent connections do not slow down each new one.
        if unfinished.count >= unfinishedLimit {
            unfinished.removeAll { !$0.isUnfinished }
            unfinishedLimit = max(64, unfinished.count * 2)
        }
        return all.count < limit || endOne(now)
    }

    /// Ends one connection; false if none may be ended.
    ///
    /// The order is: an app that may be gone and has moved nothing for `silence`, the oldest unfinished handshake, any
    /// app that may be gone.
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

    /// Adds a new connection.
    func add(_ connection: SocksConnection) {
        all[ObjectIdentifier(connection)] = connection
        unfinished.append(connection)
    }

    /// Removes a connection that is over.
    func remove(_ connection: SocksConnection) { all[ObjectIdentifier(connection)] = nil }

    /// Ends the connections of apps that are gone but have not closed them; to be called once a minute.
    func look(_ now: Instant) {
        for connection in all.values { connection.look(now) }
        forgetSilent()
    }

    /// Discards the list of silent apps, so that it is made again at the limit.
    func forgetSilent() {
        silent = []
        nextSort = Instant(nanoseconds: 0)
    }

    /// Ends all connections.
    func close() { for connection in all.values { connection.end() } }
}
