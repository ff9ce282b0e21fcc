internal import Wire

/// The UDP associations of a client: their number, their idle limit, and counts of their dropped datagrams.
final class Associations {
    /// How long an association lives without a datagram.
    let idleLimit: TimeSpan
    /// How many are open.
    private(set) var count = 0
    private var made: UInt64 = 0
    /// The dropped datagrams of all associations, by reason.
    var drops = DatagramDrops()

    init(idleLimit: TimeSpan) { self.idleLimit = idleLimit }

    /// Counts a new association and returns its number; nil at the limit.
    func begin() -> UInt64? {
        guard count < AppAssociation.limit else { return nil }
        count += 1
        made += 1
        return made
    }

    /// Counts the end of an association.
    func end() { count -= 1 }
}
