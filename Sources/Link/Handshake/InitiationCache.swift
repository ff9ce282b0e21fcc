internal import Wire

/// The ephemeral keys of accepted client initiations, for as long as their cookies are valid.
///
/// A client shows no clock and no identity, so a replay is recognized by its ephemeral key (protocol.md, section 3.2).
/// A key that was inserted under the n-th secret came with a cookie of that secret or of the one before. Both are void
/// when secret n + 2 begins, and the key is removed then, not earlier. However fast secrets change, a replay therefore
/// never has a valid cookie and an unknown key.
struct InitiationCache {
    private let capacity: Int
    private var current: Set<Bytes32> = []
    private var previous: Set<Bytes32> = []
    private var rotation: UInt64 = 0

    /// A cache of at most `capacity` keys per cookie secret.
    init(capacity: Int) { self.capacity = capacity }

    /// Removes the keys whose cookies are no longer valid.
    mutating func advance(toRotation newRotation: UInt64) {
        guard newRotation != rotation else { return }
        previous = newRotation == rotation + 1 ? current : []
        current = []
        rotation = newRotation
    }

    /// Whether an initiation with this ephemeral key was accepted.
    func contains(_ key: Bytes32) -> Bool { current.contains(key) || previous.contains(key) }

    /// Whether another key can be remembered; if not, the cookie secret must change first.
    var hasRoom: Bool { current.count < capacity }

    /// How many keys are remembered.
    var count: Int { current.count + previous.count }

    mutating func insert(_ key: Bytes32) { current.insert(key) }
}
