internal import Sessions

/// What waits for a stream of an isolation key's session.
protocol SessionApp: AnyObject {
    /// Whether it waits no more.
    var isOver: Bool { get }
    /// Opens its stream on `session`.
    func open(on session: Session)
    /// There is no session to be had.
    func fail()
}
