internal import Wire

/// The hosts to which an app, or a program with the library, has sent datagrams, under its own names for them: the
/// last ``limit`` at least.
///
/// An exit knows them as well, and passes on the answers of no others. The client does not depend on that.
struct SentHosts {
    /// As many as an exit remembers.
    static let limit = 1_024

    // Hashes with the key of this process, which an exit cannot find equal ones for.
    private var recent: Set<Int> = []
    private var older: Set<Int> = []

    /// Adds a host that is being sent to.
    mutating func add(_ host: Destination.Host) {
        recent.insert(host.hashValue)
        guard recent.count >= Self.limit else { return }
        older = recent
        recent = []
    }

    /// Whether something was sent to `host`.
    func contains(_ host: Destination.Host) -> Bool {
        let hash = host.hashValue
        return recent.contains(hash) || older.contains(hash)
    }
}
