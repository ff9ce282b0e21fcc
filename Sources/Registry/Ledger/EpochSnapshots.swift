public import Wire

/// The snapshots at the beginnings of epochs: one of each block whose epoch differs from the previous block's.
///
/// Epochs are multiples of `seconds` since 1970, so every node makes the same ones.
public struct EpochSnapshots: Sendable {
    /// How many snapshots are kept.
    public static let limit = 4

    /// The length of an epoch in seconds.
    private let seconds: UInt64
    private var epoch: UInt64?
    /// The newest snapshots, oldest first, without signatures.
    public private(set) var snapshots: [Snapshot] = []

    /// No snapshots yet; epochs last `seconds`.
    public init(seconds: UInt64) { self.seconds = max(1, seconds) }

    /// Handles the state after a block: makes a snapshot and returns true if an epoch begins with the block.
    @discardableResult
    public mutating func follow(_ state: RegistryState) -> Bool {
        let next = state.time / seconds
        defer { epoch = next }
        guard next != epoch, state.height > 0, let snapshot = state.snapshot() else { return false }
        // A process that starts within an epoch cannot tell whether one begins; it then follows others' snapshots.
        guard epoch != nil || state.height == 1 else { return false }
        snapshots.append(snapshot)
        if snapshots.count > Self.limit { snapshots.removeFirst() }
        return true
    }
}
