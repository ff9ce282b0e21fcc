/// The keys that a caller has for a service: equal to those of another caller if both have the same ones, in any order.
///
/// It keeps the keys, so that no later key has the identity of one of them.
struct ClientKeys: Hashable {
    let all: [ClientKey]
    private let identities: Set<ObjectIdentifier>

    init(_ keys: [ClientKey]) {
        all = keys
        identities = Set(keys.map(ObjectIdentifier.init))
    }

    static func == (a: Self, b: Self) -> Bool { a.identities == b.identities }
    func hash(into hasher: inout Hasher) { hasher.combine(identities) }
}
