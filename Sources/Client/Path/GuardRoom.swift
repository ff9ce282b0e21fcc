internal import Directory
internal import Wire

/// The room that each guard has left for this client: builds by rate, and paths by number (protocol.md, section 10.6).
///
/// The less urgent a build is, the more room it leaves for others. A build without room at a guard waits, which does
/// not count against the guard.
final class GuardRoom {
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

    /// The most guards that are remembered; beyond it those without paths are forgotten.
    private static let limit = 64

    private struct Guard {
        var builds: Pace
        var paths = 0
        /// When its onion key was last replaced here.
        var renewed: Instant?
    }

    private let limits: NetworkLimits
    private var guards: [NodeID: Guard] = [:]

    init(_ limits: NetworkLimits) { self.limits = limits }

    /// How many paths go over `node`.
    func paths(of node: NodeID) -> Int { guards[node]?.paths ?? 0 }

    /// How many paths one guard may have for builds of this urgency.
    ///
    /// A path that has ended here may exist at the guard a moment longer, so the guard's limit is never used up.
    func most(_ urgency: Urgency) -> Int {
        let all = limits.pathsPerClientLink
        return switch urgency {
        case .lost: all - all / 32
        case .identity: all - all / 16
        case .standby: all - all / 8
        case .spare: all - all / 4
        }
    }

    /// Whether `node` may get one more path.
    func hasPlace(_ node: NodeID, for urgency: Urgency) -> Bool { paths(of: node) < most(urgency) }

    /// Whether a build may go to `node` now.
    func admits(_ node: NodeID, for urgency: Urgency, _ now: Instant) -> Bool {
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

    /// Notes that a build over `node` begins.
    func began(_ node: NodeID, _ now: Instant) {
        if guards[node] == nil, guards.count >= Self.limit { guards = guards.filter { $0.value.paths > 0 } }
        let new = Guard(
            builds: Pace(perSecond: limits.clientBuildsPerSecond, burst: limits.clientBuildBurst, now: now))
        guards[node, default: new].builds.take()
        guards[node]?.paths += 1
    }

    /// Notes that a path over `node`, built or not, is over.
    func ended(_ node: NodeID) { guards[node]?.paths -= 1 }

    /// Notes that `node` has refused a build because it got too many.
    func refused(_ node: NodeID, _ now: Instant) { guards[node]?.builds.refused(now) }

    /// Notes that `node` has reset a build that began at `began`, because it got too many or lacks the key of its
    /// record.
    ///
    /// A build from before the key was replaced says nothing about the node's room.
    func reset(_ node: NodeID, since began: Instant, _ now: Instant) {
        if let renewed = guards[node]?.renewed, began <= renewed { return }
        refused(node, now)
    }

    /// Notes that `node` has another onion key: it reset builds because it could not open their records.
    func renewed(_ node: NodeID, _ now: Instant) {
        guards[node]?.builds.excused()
        guards[node]?.renewed = now
    }

    /// Notes that a path over `node` was built.
    func succeeded(_ node: NodeID) { guards[node]?.builds.accepted() }
}
