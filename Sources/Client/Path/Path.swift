internal import Directory
internal import Links
internal import Onion
internal import Paths
internal import Transport
internal import Wire

/// One path of the client, from the choice of its hops to its end.
final class Path {
    /// Where in its life it is.
    enum State {
        /// The guard's link or the answer is awaited.
        case building
        /// Packets pass.
        case ready
        /// It is over; nothing of it is used any more.
        case dead
    }

    /// How it came to its end.
    enum End {
        /// We ended it.
        case ours
        /// The link to the guard went.
        case linkLost
        /// The guard said so, or nothing was answered: any hop may have done it, and the exit too.
        case byOthers
        /// The exit said so, where no other hop can: it closed the leg or the session.
        case byExit

        /// Whether a hop has ended it.
        var isLoss: Bool {
            switch self {
            case .ours, .linkLost: false
            case .byOthers, .byExit: true
            }
        }
    }

    /// The nodes, guard first.
    let hops: [NodeID]
    /// Its place in the pool, which is part of its path id.
    let index: UInt32
    /// The id under which the guard sends to us.
    let pathID: UInt64
    /// When its build began.
    let began: Instant
    /// The same, and later when it was built.
    var since: Instant
    var state = State.building
    /// What the guard and the hops behind it have built, as long as it is ready, and its number among the guard's ready paths.
    var built: BuiltPath?
    var number: UInt64 = 0
    /// The link to the guard, once it stands.
    var link: LinkID?
    /// The spare paths among which it is, while no session has it.
    weak var spares: SparePaths?
    /// Which leg of which session it is.
    weak var session: (any PathUser)?
    var leg = LegID(0)
    var bytesIn: UInt64 = 0
    var bytesOut: UInt64 = 0

    init(hops: [NodeID], index: UInt32, pathID: UInt64, now: Instant) {
        self.hops = hops
        self.index = index
        self.pathID = pathID
        began = now
        since = now
    }

    /// How long the build took; nil unless it is ready.
    var buildTime: TimeSpan? { built?.buildTime }

    var entry: NodeID { hops[0] }
    /// The hop before the exit; the exit itself where there is none.
    var beforeExit: NodeID { hops[max(0, hops.count - 2)] }
    var exit: NodeID { hops[hops.count - 1] }
}
