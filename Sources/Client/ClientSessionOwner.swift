/// Whose a client's session is, and who decides what it may have.
protocol ClientSessionOwner: AnyObject {
    /// Streams can be opened again, after there were as many as the exit allows or while the exit may have forgotten the session.
    func streamsAvailable(in session: ClientSession)
    /// The session has ended; called once.
    func sessionEnded(_ session: ClientSession)
    /// Whether other identities lack paths, so that this one does with fewer.
    var isTight: Bool { get }
}
