public import Swarm
public import Wire

/// Why a round of questions did not store a descriptor; the next one follows after a pause.
public enum PublishingFailure: Error, Hashable, Sendable {
    /// The network has no store.
    case noStore
    /// No replica answered.
    case noAnswer
    /// No question could be sent: this client had no path or no room for it, or knows no replica's key.
    case notAsked
    /// Replicas have answered, and too few agree.
    case undecided(StoreCount)
    /// Two replicas refuse the descriptor's time: network time is wrong here or at the replicas.
    case clock
    /// Two replicas hold a newer version whose stamp is too far ahead of network time to continue from.
    case superseded
    /// Two replicas refuse it for another reason.
    case refused(StoreRefusal)
    /// The descriptor is not of this instance, or has too many clients.
    case unusable
}

/// The state of a service's descriptor in one period.
public struct PublishingState: Hashable, Sendable {
    /// The replicas that have signed that they hold the newest version; empty: it is not stored by a majority yet, or is
    /// too old.
    public internal(set) var holders: Set<NodeID> = []
    /// Replicas that have signed, but did not return the descriptor when they were asked for it.
    public internal(set) var hiding: Set<NodeID> = []
    /// Why the last round failed; nil if it succeeded, or if none has ended yet.
    public internal(set) var failure: PublishingFailure?
    /// Whether the newest version is stored by a majority.
    public var isStored: Bool { !holders.isEmpty && failure == nil }
}
