internal import Wire

/// Whom a session serves: how long it may live without streams, and whether more can begin.
///
/// A stream counts as long as it has a user. The exit has a minute to end those that were let go; what it does later, or never,
/// keeps no session.
struct SessionUse {
    /// How long streams without users may take to end.
    static let lingerLimit = TimeSpan.seconds(60)
    /// How long a session lives without streams.
    static let idleLimit = TimeSpan.seconds(600)
    /// How long an exit may leave a session without room that few streams use.
    static let roomLimit = TimeSpan.seconds(10)

    /// Since when it serves nobody; nil while it does, and while streams without users may still end.
    private(set) var idleSince: Instant?
    private var unusedSince: Instant?
    private var withoutRoomSince: Instant?
    private var now = Instant(nanoseconds: 0)

    /// Takes note of how many streams have `users`, how many are `open`, and whether another could begin.
    mutating func look(users: Int, open: Int, hasRoom: Bool, at now: Instant) {
        self.now = now
        withoutRoomSince = hasRoom ? nil : withoutRoomSince ?? now
        guard users == 0 else {
            (unusedSince, idleSince) = (nil, nil)
            return
        }
        let since = unusedSince ?? now
        unusedSince = since
        if idleSince == nil, open == 0 || now - since >= Self.lingerLimit { idleSince = now }
    }

    /// Whether the session is to end; one that is retired does as soon as it serves nobody.
    func isOver(isRetired: Bool) -> Bool {
        guard let idleSince else { return false }
        return isRetired || now - idleSince > Self.idleLimit
    }

    /// Whether there has been no room for so long that the exit is not waited for.
    var lacksRoom: Bool { withoutRoomSince.map { now - $0 >= Self.roomLimit } ?? false }
}
