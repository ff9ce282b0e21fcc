public import Wire

/// The state of a daemon and its problems.
public struct OxendStatus: Sendable, Hashable {
    /// How long a daemon may give no good answer before the state changes.
    public var patience = TimeSpan.seconds(3600)

    /// Its address, without user and password.
    public var address: String
    /// The height of its chain; 0 before the first list.
    public var height: UInt64 = 0
    /// The numbers of active, decommissioned and not funded nodes.
    public var active = 0, decommissioned = 0, open = 0
    /// The height of the newest snapshot made from its lists; 0: none yet.
    public var snapshotHeight: UInt64 = 0
    /// The failure of the last answer that was not good, since the last good one.
    public var trouble: OxendError?
    /// The time since the last good answer.
    public var silence = TimeSpan.zero
    /// Whether its last answer to a ping was good; nil before the first.
    public var takesPings: Bool?
    /// Why it refused the last ping.
    public var pingTrouble: OxendError?
    /// How many test results it accepted, and how many it refused.
    public var reportsTaken: UInt64 = 0, reportsRefused: UInt64 = 0
    /// The daemon's own node; nil if it is not listed.
    public var own: OxendNode?

    /// A daemon before its first answer.
    public init(address: String) { self.address = address }

    /// The problem that the operator must know; nil if there is none or it is recent.
    public var problem: OxendProblem? {
        if silence >= patience, let trouble { return .silent(minutes: Int(silence.inSeconds) / 60, trouble) }
        if takesPings == false, let pingTrouble { return .pingsRefused(pingTrouble) }
        return nil
    }
}
