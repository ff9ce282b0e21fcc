internal import Directory
internal import Links
internal import Onion
internal import Paths
internal import Transport
internal import Wire

/// One path of the client, from the choice of its hops to its end.
final class Path {
    /// The state of a path.
    enum State {
        /// Waits for the guard's link or for the answer.
        case building
        /// Carries packets.
        case ready
        /// Is over; nothing of it is used any more.
        case dead
    }

    /// How a path ended.
    enum End {
        /// This client ended it.
        case ours
        /// The link to the guard is gone.
        case linkLost
        /// The guard reported it, or answers stopped: any hop may be the cause, including the exit.
        case byOthers
        /// The exit closed the leg or the session, which no other hop can do.
        case byExit

        /// Whether a hop ended the path.
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
    /// The path id in packets from the guard.
    let pathID: UInt64
    /// When its build began.
    let began: Instant
    /// When its build began; once it is ready, when it became so.
    var since: Instant
    /// How long it is used once it is ready.
    let life: TimeSpan
    var state = State.building
    /// The built path while it is ready, and its number for ``DirectoryClient/pathEnded(_:through:_:)``.
    var built: BuiltPath?
    var number: UInt64 = 0
    /// The link to the guard, once it is up.
    var link: LinkID?
    /// The spare paths that hold it while no session does.
    weak var spares: SparePaths?
    /// The session that uses it, and its leg there.
    weak var session: (any PathUser)?
    var leg = LegID(0)
    var bytesIn: UInt64 = 0
    var bytesOut: UInt64 = 0

    init(hops: [NodeID], index: UInt32, pathID: UInt64, life: TimeSpan, now: Instant) {
        self.hops = hops
        self.index = index
        self.pathID = pathID
        self.life = life
        began = now
        since = now
    }

    /// How long the build took; nil unless it is ready.
    var buildTime: TimeSpan? { built?.buildTime }

    var entry: NodeID { hops[0] }
    /// The hop before the exit; the exit itself if there is none.
    var beforeExit: NodeID { hops[max(0, hops.count - 2)] }
    var exit: NodeID { hops[hops.count - 1] }
}
