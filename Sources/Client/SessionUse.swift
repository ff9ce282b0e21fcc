internal import Wire

/// Tracks the use of a session: how long it may live without streams, and whether more can begin.
///
/// A stream counts while it has a user. The exit has a minute to end released streams; streams that it ends later, or
/// never, do not keep the session alive.
struct SessionUse {
    /// How long streams without users may take to end.
    static let lingerLimit = TimeSpan.seconds(60)
    /// How long a session lives without streams.
    static let idleLimit = TimeSpan.seconds(600)
    /// How long an exit may leave a session with few streams without room for more.
    static let roomLimit = TimeSpan.seconds(10)

    /// Since when the session has been idle; nil while streams have users, or released ones may still end.
    private(set) var idleSince: Instant?
    private var unusedSince: Instant?
    private var withoutRoomSince: Instant?
    private var now = Instant(nanoseconds: 0)

    /// Notes how many streams have `users`, how many are `open`, and whether another could begin.
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

    /// Whether the session must end; a retired one must as soon as it is idle.
    func isOver(isRetired: Bool) -> Bool {
        guard let idleSince else { return false }
        return isRetired || now - idleSince > Self.idleLimit
    }

    /// Whether there has been no room for so long that the session should not wait for the exit.
    var lacksRoom: Bool { withoutRoomSince.map { now - $0 >= Self.roomLimit } ?? false }
}
