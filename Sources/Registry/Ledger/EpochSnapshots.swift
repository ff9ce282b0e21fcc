public import Wire

/// The snapshots with which epochs begin: each follows the first block whose time lies in another epoch than that of the block before.
///
/// An epoch is a whole number of times `seconds` since 1970, so every node makes the same ones.
public struct EpochSnapshots: Sendable {
    /// How many are kept.
    public static let limit = 4

    /// The length of an epoch in seconds.
    private let seconds: UInt64
    private var epoch: UInt64?
    /// The last ones, oldest first; they have no signatures.
    public private(set) var snapshots: [Snapshot] = []

    /// None yet, of epochs of `seconds`.
    public init(seconds: UInt64) { self.seconds = max(1, seconds) }

    /// Takes the state after a block, and makes a snapshot of it where an epoch begins; whether it does.
    @discardableResult
    public mutating func follow(_ state: RegistryState) -> Bool {
        let next = state.time / seconds
        defer { epoch = next }
        guard next != epoch, state.height > 0, let snapshot = state.snapshot() else { return false }
        // Where a process begins in the midst of an epoch it cannot tell; others' snapshots are what it follows then.
        guard epoch != nil || state.height == 1 else { return false }
        snapshots.append(snapshot)
        if snapshots.count > Self.limit { snapshots.removeFirst() }
        return true
    }
}
