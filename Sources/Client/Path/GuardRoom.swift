internal import Directory
internal import Wire

/// What each guard still takes of this client: builds by their rate, and paths by their number (protocol.md, section 10.6).
///
/// The less urgent a build, the more it leaves for others. A build that a guard has no room for waits; the guard is not blamed.
struct GuardRoom {
    /// How much depends on a build, the least first.
    enum Urgency: Int {
        /// A ready path that no identity needs yet.
        case spare
        /// A second leg for an identity.
        case standby
        /// The first path of an identity that apps wait for.
        case identity
        /// A leg for open streams that have none.
        case lost
    }

    /// Guards that are remembered; beyond it those without paths are forgotten.
    private static let limit = 64

    private struct Guard {
        var builds: Pace
        var paths = 0
    }

    private let limits: NetworkLimits
    private var guards: [NodeID: Guard] = [:]

    init(_ limits: NetworkLimits) { self.limits = limits }

    /// How many paths go by `node`.
    func paths(of node: NodeID) -> Int { guards[node]?.paths ?? 0 }

    /// How many paths one guard may have for builds of this urgency.
    ///
    /// A path that has ended here may stand there a moment longer, so not all of what the guard takes is used.
    func most(_ urgency: Urgency) -> Int {
        let all = limits.pathsPerClientLink
        return switch urgency {
        case .lost: all - all / 32
        case .identity: all - all / 16
        case .standby: all - all / 8
        case .spare: all - all / 4
        }
    }

    /// Whether `node` takes one more path.
    func hasPlace(_ node: NodeID, for urgency: Urgency) -> Bool { paths(of: node) < most(urgency) }

    /// Whether a build may go to `node` now.
    mutating func admits(_ node: NodeID, for urgency: Urgency, _ now: Instant) -> Bool {
        guard hasPlace(node, for: urgency) else { return false }
        let reserve =
            switch urgency {
            case .lost: 0.0
            case .identity: 1.0 / 16
            case .standby: 1.0 / 4
            case .spare: 1.0 / 2
            }
        return guards[node]?.builds.admits(reserve: reserve, now) ?? true
    }

    /// A build begins by way of `node`.
    mutating func began(_ node: NodeID, _ now: Instant) {
        if guards[node] == nil, guards.count >= Self.limit { guards = guards.filter { $0.value.paths > 0 } }
        let new = Guard(
            builds: Pace(perSecond: limits.clientBuildsPerSecond, burst: limits.clientBuildBurst, now: now))
        guards[node, default: new].builds.take()
        guards[node]?.paths += 1
    }

    /// A path by way of `node`, built or not, is over.
    mutating func ended(_ node: NodeID) { guards[node]?.paths -= 1 }

    /// `node` has refused a build as too many.
    mutating func refused(_ node: NodeID, _ now: Instant) { guards[node]?.builds.refused(now) }

    /// A path was built by way of `node`.
    mutating func succeeded(_ node: NodeID) { guards[node]?.builds.accepted() }
}
