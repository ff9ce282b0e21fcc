internal import Wire

/// Finds an exit that fails whatever it is asked for: the hosts that streams of one session asked for in vain since the
/// last one that succeeded.
///
/// Such an exit keeps a session, for it answers everything else. A few dead hosts prove nothing, so several have to
/// fail, over a time in which an app would have tried others.
struct FailedHosts {
    /// How many hosts have to fail, and how long.
    static let limit = (hosts: 8, time: TimeSpan.seconds(30))

    /// Hash values of the hosts.
    private var hosts: Set<Int> = []
    private var since = Instant(nanoseconds: 0)

    /// Whether the exit is to be left.
    func isTooMany(at now: Instant) -> Bool { hosts.count >= Self.limit.hosts && now - since >= Self.limit.time }

    /// A stream to `host`, or a look-up of it, has failed.
    mutating func failed(_ host: Destination.Host, at now: Instant) {
        if hosts.isEmpty { since = now }
        if hosts.count < Self.limit.hosts { hosts.insert(host.hashValue) }
    }

    /// A stream or look-up has succeeded.
    mutating func succeeded() { hosts.removeAll() }
}
