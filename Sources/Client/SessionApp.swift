internal import Sessions

/// What waits for a stream of an isolation key's session.
protocol SessionApp: AnyObject {
    /// Whether it waits no more.
    var isOver: Bool { get }
    /// Opens its stream on `session`.
    func open(on session: Session)
    /// There is no session to be had.
    func fail(_ reason: NoSession)
}

/// Why an app gets no session.
enum NoSession {
    /// There is no path to an exit, or the client ends.
    case noPath
    /// So many identities are in use, none of which is idle.
    case tooManyIdentities(Int)
}
