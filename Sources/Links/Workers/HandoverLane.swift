internal import DequeModule
internal import EventLoop
internal import Wire

/// What the owner of a link hands over to worker 0, and may lose.
public struct LinkHandover: Sendable {
    enum Kind: Sendable {
        /// A control packet, which the owner has opened and committed.
        case control(number: UInt64, payload: [UInt8])
        /// Authentic packets have come from another address than the link's.
        case newAddress
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

    private let waitingCount: () -> Int
    private let send: (LinkHandover) -> Bool
    /// The links of the handovers that were in the lane when it was last looked at, in their order, and how many each
    /// has.
    private var links = Deque<LinkID>()
    private var counts: [LinkID: Int] = [:]

    /// A lane by `send`, which returns false if the lane is full; `waitingCount` is how many handovers wait in it.
    public init(waitingCount: @escaping () -> Int, send: @escaping (LinkHandover) -> Bool) {
        self.waitingCount = waitingCount
        self.send = send
    }

    /// Whether another handover of `link` may be sent.
    func hasRoom(for link: LinkID) -> Bool {
        guard !links.isEmpty else { return true }
        let waiting = waitingCount()
        while links.count > waiting, let gone = links.popFirst(), let count = counts[gone] {
            counts[gone] = count > 1 ? count - 1 : nil
        }
        return counts[link, default: 0] < Self.mostOfLink
    }

    /// Sends a handover; false if its link has used its share, or the lane is full.
    func add(_ handover: LinkHandover) -> Bool {
        guard hasRoom(for: handover.link), send(handover) else { return false }
        links.append(handover.link)
        counts[handover.link, default: 0] += 1
        return true
    }
}
