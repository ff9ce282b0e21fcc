internal import Wire

/// The apps that are connected to a client's proxy ports; at the limit one of them gives way to a new app.
///
/// The connection that ends is of the owner that has the most, if that has two more than the owner of the new one, and
/// else of the latter. An owner loses connections in use only to another owner.
final class AppConnections {
    /// What a connection is doing; at the limit the first of these end first.
    enum Phase: Int {
        /// The app may be gone, and has moved nothing for long.
        case gone
        /// The app has not yet sent its request.
        case unfinished
        /// The app may be gone.
        case silent
        /// An exit is asked.
        case waiting
        /// Bytes or datagrams go both ways.
        case served

        var isInUse: Bool { self == .waiting || self == .served }
    }

    private typealias Candidate = (app: SocksConnection, phase: Phase, since: Instant)

    private let limit: Int
    private(set) var all: [ObjectIdentifier: SocksConnection] = [:]
    private var shares: Shares<KeyOwner>
    /// How long an app that may be gone must have moved nothing to give way before unfinished handshakes do.
    var silence = TimeSpan.seconds(30)
    /// The connections of each owner, those that end first last, as they were when they were sorted at the limit.
    private var candidates: [KeyOwner: [Candidate]] = [:]
    private var nextSort = Instant(nanoseconds: 0)
    /// How many apps have asked for room since then, and how many bring about a new sort before a second is over.
    private var asked = 0
    private static let mostAsked = 32

    /// An empty table for at most `limit` apps.
    init(limit: Int) {
        self.limit = limit
        shares = Shares(capacity: limit, most: limit)
    }

    var isFull: Bool { all.count >= limit }

    /// Whether there is room for another app of `owner`; at the limit, tries to end one for it.
    func makeRoom(for owner: KeyOwner, _ now: Instant) -> Bool { !isFull || endOne(for: owner, now) }

    /// Ends one connection; false if none may be ended.
    private func endOne(for owner: KeyOwner, _ now: Instant) -> Bool {
        let largest = shares.largest.flatMap { shares.places(of: $0) >= shares.places(of: owner) + 2 ? $0 : nil }
        let loser = largest ?? owner
        asked += 1
        if now >= nextSort { sort(now) }
        if endFirst(of: loser, evenInUse: largest != nil, now) { return true }
        // The list is used up, or those that could end now have come since it was sorted.
        guard candidates[loser]?.isEmpty != false || asked >= Self.mostAsked else { return false }
        sort(now)
        return endFirst(of: loser, evenInUse: largest != nil, now)
    }

    /// Ends the first connection of `loser` that may end; false if there is none.
    private func endFirst(of loser: KeyOwner, evenInUse: Bool, _ now: Instant) -> Bool {
        while let candidate = candidates[loser]?.last {
            guard evenInUse || !candidate.phase.isInUse else { return false }
            candidates[loser]?.removeLast()
            // It may be over, or have become of use, since then.
            guard candidate.app.phase(now, silence).phase.rawValue <= candidate.phase.rawValue,
                !candidate.app.isOver
            else { continue }
            candidate.app.end()
            return true
        }
        return false
    }

    private func sort(_ now: Instant) {
        nextSort = now + .seconds(1)
        asked = 0
        let all = all.values.map { app in
            let (phase, since) = app.phase(now, silence)
            return Candidate(app, phase, since)
        }.sorted { ($1.phase.rawValue, $1.since) < ($0.phase.rawValue, $0.since) }
        candidates = Dictionary(grouping: all) { $0.app.owner }
    }

    /// Adds a new connection.
    func add(_ connection: SocksConnection) {
        all[ObjectIdentifier(connection)] = connection
        shares.add(connection.owner)
    }

    /// Removes a connection that is over.
    func remove(_ connection: SocksConnection) {
        guard all.removeValue(forKey: ObjectIdentifier(connection)) != nil else { return }
        shares.release(connection.owner)
    }

    /// Ends the connections of apps that are gone but have not closed them; to be called once a minute.
    func look(_ now: Instant) {
        for connection in all.values { connection.look(now) }
        forgetCandidates()
    }

    /// Discards the sorted lists, so that they are made again at the limit.
    func forgetCandidates() {
        candidates = [:]
        nextSort = Instant(nanoseconds: 0)
    }

    /// Ends all connections.
    func close() { for connection in all.values { connection.end() } }
}
