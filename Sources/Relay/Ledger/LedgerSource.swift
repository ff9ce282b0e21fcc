public import Directory
internal import Synchronization
public import Wire

/// The ledger as a registry source: the snapshot of the newest epoch, without signatures.
public final class LedgerSource: RegistrySource {
    private let state = Mutex<(snapshots: [Snapshot], problem: LedgerProblem?)>(([], nil))

    /// The snapshot of the newest epoch, if its height is above `height`.
    public func snapshot(above height: UInt64, at now: UnixTime) -> SignedSnapshot? {
        state.withLock { $0.snapshots.last }.flatMap { $0.height > height ? SignedSnapshot($0) : nil }
    }

    /// The snapshots of the last epochs, oldest first.
    public var epochSnapshots: [Snapshot] { state.withLock { $0.snapshots } }

    /// The problem with the ledger; nil if there is none.
    public var problem: (any RegistrySourceProblem)? { state.withLock { $0.problem } }

    func set(_ snapshots: [Snapshot], problem: LedgerProblem?) {
        state.withLock { $0 = (snapshots, problem) }
    }
}
