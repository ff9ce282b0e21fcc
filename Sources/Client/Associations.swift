internal import Wire

/// The UDP associations of a client: how many there are, how long an unused one lives, and what became of their datagrams.
final class Associations {
    /// How long one lives without a datagram.
    let idleLimit: TimeSpan
    /// How many there are.
    private(set) var count = 0
    private var made: UInt64 = 0
    /// Datagrams of all of them that went no further.
    var drops = DatagramDrops()

    init(idleLimit: TimeSpan) { self.idleLimit = idleLimit }

    /// A number for one that begins; nil when there are too many.
    func begin() -> UInt64? {
        guard count < AppAssociation.limit else { return nil }
        count += 1
        made += 1
        return made
    }

    /// One is over.
    func end() { count -= 1 }
}
