internal import Wire

/// What those who ask for identities share: the places for identities, and the paths that are being built.
extension ClientSessions {
    var sessionShares: IdentityShares { IdentityShares(current.keys) }

    /// The shares of all who have an identity, with a session or without one yet.
    private var allShares: IdentityShares { IdentityShares(Array(current.keys) + beginning.keys) }

    /// The idle session that ends so that `key` gets its place; nil if none is idle that may.
    func idleToEnd(for key: IsolationKey) -> ClientSession? {
        let idle = current.values.filter(\.isIdle)
        let places = idle.map { ($0.key, $0.idleSince ?? Instant(nanoseconds: .max)) }
        return Self.placeToEnd(of: places, for: key, held: allShares).map { idle[$0] }
    }

    /// The index of the idle session that ends for `key`: of those with the most sessions, the one that is idle
    /// longest.
    ///
    /// Otherwise a page that asks for many hosts would end the idle sessions of other apps, whose next streams then
    /// have another exit. For the same reason an owner with fewer identities than that of `key` keeps its idle ones.
    /// Those of the process itself, such as a DNS port's, have no owner, and may all go.
    static func placeToEnd(
        of idle: [(key: IsolationKey, since: Instant)], for key: IsolationKey, held: IdentityShares
    ) -> Int? {
        let own = held.size(of: key).owner
        let places = idle.indices.filter {
            idle[$0].key.owner.value == nil || held.size(of: idle[$0].key).owner >= own
        }
        return places.max { one, other in
            let (few, many) = (held.size(of: idle[one].key), held.size(of: idle[other].key))
            return few == many ? idle[other].since < idle[one].since : few < many
        }
    }

    /// An identity that ends so that `key`, which has none, gets its place; nil if nobody has two more than those of
    /// `key`.
    ///
    /// It is one without a session yet, or else the one with the fewest streams.
    func identityToEnd(for key: IsolationKey) -> IsolationKey? {
        guard let loser = allShares.loser(for: key) else { return nil }
        func isOfLoser(_ key: IsolationKey) -> Bool { IdentityShares.Source(of: key) == loser }
        if let waiting = beginning.keys.first(where: isOfLoser) { return waiting }
        return current.filter { isOfLoser($0.key) }.min { $0.value.streamCount < $1.value.streamCount }?.key
    }
}
