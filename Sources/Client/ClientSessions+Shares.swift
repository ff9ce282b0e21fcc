internal import Wire

/// What the sources of identities share: the places for identities, and the paths that are being built.
///
/// A source is an app, by all of its keys (``IsolationKey/source``).
extension ClientSessions {
    var sessionsBySource: [IsolationKey: Int] {
        current.keys.reduce(into: [:]) { $0[$1.source, default: 0] += 1 }
    }

    /// The idle session that ends so that another identity gets its place; nil if none is idle.
    var idleToEnd: ClientSession? {
        let idle = current.values.filter(\.isIdle)
        let places = idle.map { ($0.key.source, $0.idleSince ?? Instant(nanoseconds: .max)) }
        return Self.placeToEnd(of: places, held: sessionsBySource).map { idle[$0] }
    }

    /// The index of the idle session that ends: of the source that has the most sessions, the one that is idle longest.
    ///
    /// Otherwise a page that asks for many hosts would end the idle sessions of other apps, whose next streams then have
    /// another exit.
    static func placeToEnd(of idle: [(source: IsolationKey, since: Instant)], held: [IsolationKey: Int]) -> Int? {
        idle.indices.max { one, other in
            let (few, many) = (held[idle[one].source, default: 0], held[idle[other].source, default: 0])
            return (few, idle[other].since) < (many, idle[one].since)
        }
    }

    /// An identity that ends so that `key`, which has none, gets its place; nil if no source has two more than that of `key`.
    ///
    /// It is one of the source that has the most: one without a session yet, or else the one with the fewest streams.
    func identityToEnd(for key: IsolationKey) -> IsolationKey? {
        let all = Array(current.keys) + beginning.keys
        let counts = all.reduce(into: [IsolationKey: Int]()) { $0[$1.source, default: 0] += 1 }
        guard let most = counts.max(by: { $0.value < $1.value }), most.value >= counts[key.source, default: 0] + 2
        else {
            return nil
        }
        if let waiting = beginning.keys.first(where: { $0.source == most.key }) { return waiting }
        return current.filter { $0.key.source == most.key }.min { $0.value.streamCount < $1.value.streamCount }?.key
    }
}
