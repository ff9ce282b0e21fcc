/// The owner of a client's sessions, which decides how many paths they may have.
protocol ClientSessionOwner: AnyObject {
    /// Streams can be opened again: the exit allows more, or has answered over a leg and so knows the session.
    func streamsAvailable(in session: ClientSession)
    /// The session has ended; called once.
    func sessionEnded(_ session: ClientSession)
    /// Whether other identities lack paths, so that a session should manage with fewer.
    var isTight: Bool { get }
}
