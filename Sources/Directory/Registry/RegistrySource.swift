public import Wire

/// A source of the registry: which nodes are staked, by which operators, and in what state.
///
/// Once a second, on its loop, a node asks it for the snapshot after the trusted one. The node signs that snapshot, and
/// trusts it when more than two thirds of the trusted nodes have signed it. A client does not use a source; it trusts
/// only signatures. The staking rules are behind this protocol.
public protocol RegistrySource {
    /// The newest snapshot above `height` that the source has at `now`, without signatures; `nil` if there is none.
    ///
    /// There is one for each epoch, and the same one at each height at every node. It must not wait for a disk or a
    /// socket.
    func snapshot(above height: UInt64, at now: UnixTime) -> SignedSnapshot?
    /// The source's problem, for example silence or a step back; `nil` if there is none.
    var problem: (any RegistrySourceProblem)? { get }
}

/// A problem of a registry source that the node's operator must know of.
public protocol RegistrySourceProblem: Equatable, Sendable {
    /// The problem for the operator, in whole sentences.
    var text: String { get }
}

extension RegistrySourceProblem {
    /// Whether `other` is the same problem.
    public func isSame(as other: any RegistrySourceProblem) -> Bool { other as? Self == self }
}

/// A registry that is the network file's snapshot and never changes; for private networks and tests.
public struct NetworkFileRegistry: RegistrySource {
    private let first: SignedSnapshot

    /// The registry of `file`.
    public init(_ file: NetworkFile) { first = file.snapshot }

    /// No problem: nothing can go wrong with it.
    public var problem: (any RegistrySourceProblem)? { nil }

    /// The network file's snapshot; `nil` unless its height is above `height`.
    public func snapshot(above height: UInt64, at now: UnixTime) -> SignedSnapshot? {
        first.snapshot.height > height ? first : nil
    }
}
