/// Why a packet was dropped; each has a counter, and nothing is sent (protocol.md, section 5, "Failures").
public enum DropReason: UInt8, Sendable, CaseIterable {
    /// No path has this id on this link.
    case unknownPath
    /// The path is not built yet.
    case notReady
    /// The counter is before its direction's derived start.
    case beforeStart
    /// The packet was seen before, or is older than the window.
    case replayed
    /// The epoch is too far ahead, or its key is gone.
    case wrongEpoch
    /// A tag is wrong: the packet was changed under way, or was not sealed under this key.
    case badTag
    /// The sealer's counters are used up; the path must be replaced.
    case exhausted

    /// The name in status and metrics.
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
