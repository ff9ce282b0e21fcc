internal import Wire

/// The UDP associations of a client: their places, their idle limit, and counts of their dropped datagrams.
///
/// At the limit, the owner that has the most gives one up to an owner that has at least two fewer.
final class Associations {
    /// How long an association lives without a datagram.
    let idleLimit: TimeSpan
    /// The places by owner; the process's own streams have none.
    private var places = SharedTable<KeyOwner?, KeyOwner?, UInt64>(
        capacity: AppAssociation.limit, most: AppAssociation.limit)
    private var ends: [UInt64: () -> Void] = [:]
    private var made: UInt64 = 0
    /// The dropped datagrams of all associations, by reason.
    var drops = DatagramDrops()

    init(idleLimit: TimeSpan) { self.idleLimit = idleLimit }

    /// How many are open.
    var count: Int { places.count }
    var isFull: Bool { count >= AppAssociation.limit }

    /// Counts a new association of `owner` and returns its number; nil at the limit, if no other owner gives one up.
    ///
    /// `giveUp` ends it for another owner's.
    func begin(for owner: KeyOwner?, giveUp: @escaping () -> Void) -> UInt64? {
        let number = made + 1
        let insertion = places.insert(number, for: owner, in: owner)
        guard insertion != .refused else { return nil }
        made = number
        // In use: only an owner with two more than another one loses any.
        places.setBusy(number, true)
        ends[number] = giveUp
        if case .replaced(let other) = insertion { ends.removeValue(forKey: other)?() }
        return number
    }

    /// Counts the end of an association.
    func end(_ number: UInt64) {
        places.remove(number)
        ends[number] = nil
    }
}
