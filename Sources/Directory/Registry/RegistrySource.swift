public import Wire

/// Where the registry comes from: which nodes are staked, by whom, and in what state.
///
/// A node asks it for what follows the snapshot that it trusts, and passes that on; it counts only with the signatures of
/// more than two thirds of the trusted nodes. A client never asks it, for a client trusts signatures alone. The staking rules live behind this protocol.
public protocol RegistrySource: Sendable {
    /// A snapshot above `height` as far as the source knows one at `now`, perhaps without signatures; `nil` when there is none.
    func snapshot(above height: UInt64, at now: UnixTime) -> SignedSnapshot?
}

/// A registry that is the network file's snapshot and never changes: for private networks and tests.
public struct NetworkFileRegistry: RegistrySource {
    private let first: SignedSnapshot

    /// The registry of `file`.
    public init(_ file: NetworkFile) { first = file.snapshot }

    /// The network file's snapshot, or `nil` when `height` is not below its own.
    public func snapshot(above height: UInt64, at now: UnixTime) -> SignedSnapshot? {
        first.snapshot.height > height ? first : nil
    }
}
