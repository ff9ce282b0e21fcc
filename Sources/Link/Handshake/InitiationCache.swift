internal import Wire

/// The ephemeral keys of clients' initiations that were accepted, for as long as their cookies are good.
///
/// A client has no clock that it shows and no identity, so a replay is known by its ephemeral key (protocol.md, section 3.2).
/// A key that was taken in while the n-th secret made cookies came with a cookie of that secret or of the one before. Both
/// are void when the secret n + 2 begins, and the key is forgotten then and not earlier: however fast secrets change, there
/// is no moment at which a replay has a good cookie and an unknown key.
struct InitiationCache {
    private let capacity: Int
    private var current: Set<Bytes32> = []
    private var previous: Set<Bytes32> = []
    private var rotation: UInt64 = 0

    /// A cache of at most `capacity` keys per cookie secret.
    init(capacity: Int) { self.capacity = capacity }

    /// Forgets what no valid cookie can bring back.
    mutating func advance(toRotation newRotation: UInt64) {
        guard newRotation != rotation else { return }
        previous = newRotation == rotation + 1 ? current : []
        current = []
        rotation = newRotation
    }

    /// Whether an initiation with this ephemeral key was accepted.
    func contains(_ key: Bytes32) -> Bool { current.contains(key) || previous.contains(key) }

    /// Whether another key can be remembered; if not, the secret of cookies must change first.
    var hasRoom: Bool { current.count < capacity }

    /// How many keys are remembered.
    var count: Int { current.count + previous.count }

    /// Remembers a key.
    mutating func insert(_ key: Bytes32) { current.insert(key) }
}
