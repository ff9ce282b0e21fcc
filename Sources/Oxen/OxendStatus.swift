public import Wire

/// What is known of a daemon, and what is wrong with it.
public struct OxendStatus: Sendable, Hashable {
    /// How long a silent daemon changes nothing.
    public var patience = TimeSpan.seconds(3600)

    /// Its address, without user and password.
    public var address: String
    /// The height of its chain; 0 before the first list.
    public var height: UInt64 = 0
    /// How many nodes are active, decommissioned, and not funded.
    public var active = 0, decommissioned = 0, open = 0
    /// The height of the newest snapshot that was made from its lists; 0: none yet.
    public var snapshotHeight: UInt64 = 0
    /// When it was last asked in vain or gave what was not believed, since the last good answer, in one sentence.
    public var trouble: String?
    /// For how long there has been no good answer.
    public var silence = TimeSpan.zero
    /// Whether its last answer to a ping was good; nil before the first.
    public var takesPings: Bool?
    /// Why it did not take the last ping.
    public var pingTrouble: String?
    /// Test results that it took, and that it did not.
    public var reportsTaken: UInt64 = 0, reportsRefused: UInt64 = 0
    /// How the daemon's own node stands; nil when it is not listed.
    public var own: OxendNode?

    /// A daemon that was not heard of yet.
    public init(address: String) { self.address = address }

    /// What its operator must know, in one sentence; nil when all is well or the trouble is young.
    public var problem: String? {
        if silence >= patience, let trouble {
            return "The oxend daemon has given no good answer for \(Int(silence.inSeconds) / 60) minutes: \(trouble)."
        }
        if takesPings == false, let pingTrouble {
            return "The oxend daemon does not take this node's pings: \(pingTrouble)."
        }
        return nil
    }
}
