public import Wire

/// Where the registry comes from: which nodes are staked, by whom, and in what state.
///
/// A node asks it once a second on its loop for what follows the snapshot that it trusts, signs that, and trusts it when more
/// than two thirds of the trusted nodes have signed. A client never asks it, for a client trusts signatures alone. The staking
/// rules live behind this protocol.
public protocol RegistrySource {
    /// The newest snapshot above `height` that the source knows at `now`, without signatures; `nil` when there is none.
    ///
    /// One for each epoch, and at one height the same at every node; nothing here waits for a disk or a socket.
    func snapshot(above height: UInt64, at now: UnixTime) -> SignedSnapshot?
    /// What is wrong with the source, in one sentence: it is silent, lies, or went back; `nil` while nothing is.
    var problem: String? { get }
}

extension RegistrySource {
    /// Nothing is wrong.
    public var problem: String? { nil }
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
