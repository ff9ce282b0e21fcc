internal import Sessions

/// An app that waits for a stream of an isolation key's session.
protocol SessionApp: AnyObject {
    /// Whether the app no longer waits.
    var isOver: Bool { get }
    /// Opens its stream on `session`.
    func open(on session: Session)
    /// There is no session for the app.
    func fail(_ reason: NoSession)
}

/// Why an app gets no session.
enum NoSession {
    /// There is no path to an exit, or the client is closing.
    case noPath
    /// The limit of identities is in use, and none of them is idle.
    case tooManyIdentities(Int)
}
