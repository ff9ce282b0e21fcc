/// Why a packet was dropped; each has a counter, and nothing is sent (protocol.md, section 5, "Failures").
public enum DropReason: UInt8, Sendable, CaseIterable {
    /// No path has this id from this link.
    case unknownPath
    /// The path is not yet built, so packets cannot pass it.
    case notReady
    /// The counter lies before the start that was derived for it.
    case beforeStart
    /// The packet was seen before, or is too old to tell.
    case replayed
    /// The epoch is too far ahead, or its key is gone.
    case wrongEpoch
    /// A tag is wrong: the packet was changed on the way, or was never sealed under this key.
    case badTag
    /// The sealer has used up its counters; the path must be replaced.
    case exhausted

    /// What status and metrics call it.
    public var name: String {
        switch self {
        case .unknownPath: "unknownPath"
        case .notReady: "notReady"
        case .beforeStart: "beforeStart"
        case .replayed: "replayed"
        case .wrongEpoch: "wrongEpoch"
        case .badTag: "badTag"
        case .exhausted: "exhausted"
        }
    }
}
