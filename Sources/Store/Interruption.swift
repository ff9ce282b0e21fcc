internal import Synchronization

/// Ends a long read of a database from another thread.
public final class Interruption: Sendable {
    private let flag = Atomic(false)

    /// One that is not set.
    public init() {}

    /// Whether the read has to end.
    public var isSet: Bool { flag.load(ordering: .relaxed) }

    /// Ends the read, and all later ones.
    public func set() { flag.store(true, ordering: .relaxed) }
}
