internal import EventLoop
internal import Wire

/// What the owner of a link hands over to worker 0, and may lose.
public struct LinkHandover: Sendable {
    enum Kind: Sendable {
        /// A control packet, which the owner has opened and committed.
        case control(number: UInt64, payload: [UInt8])
        /// Authentic packets have come from another address than the link's.
        case stranger
    }

    let link: LinkID
    /// The address from which the packet came.
    let source: SocketAddress
    let kind: Kind
}

/// A worker's lane to worker 0 for handovers, in which each link has a share.
///
/// A peer that sends faster than worker 0 receives loses its own packets, not those of other links.
public final class HandoverLane {
    /// How many handovers may wait in the lane.
    public static let capacity = 4_096
    /// How many of them may be of one link: those of 30 ms at 100 Mbit/s, for long answers and snapshots.
    static let mostOfLink = 256

    private let isEmpty: () -> Bool
    private let send: (LinkHandover) -> Bool
    /// How many handovers of each link were sent since the lane was last found empty.
    private var sent: [LinkID: Int] = [:]

    /// A lane by `send`, which returns false if the lane is full; `isEmpty` is whether nothing waits in it.
    public init(isEmpty: @escaping () -> Bool, send: @escaping (LinkHandover) -> Bool) {
        self.isEmpty = isEmpty
        self.send = send
    }

    /// Whether another handover of `link` may be sent.
    func hasRoom(for link: LinkID) -> Bool {
        guard !sent.isEmpty else { return true }
        if isEmpty() { sent.removeAll(keepingCapacity: true) }
        return sent[link, default: 0] < Self.mostOfLink
    }

    /// Sends a handover; false if its link has used its share, or the lane is full.
    func add(_ handover: LinkHandover) -> Bool {
        guard hasRoom(for: handover.link), send(handover) else { return false }
        sent[handover.link, default: 0] += 1
        return true
    }
}
