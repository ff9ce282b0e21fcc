public import Directory

/// A problem with the oxend daemon that the operator must know of.
public enum OxendProblem: RegistrySourceProblem, Hashable {
    /// It has given no good answer for this time; the error is that of its last answer.
    case silent(minutes: Int, OxendError)
    /// It does not accept this node's pings, for this reason.
    case pingsRefused(OxendError)

    /// The problem for the operator, in one sentence.
    public var text: String {
        switch self {
        case .silent(let minutes, let error):
            "The oxend daemon has given no good answer for \(minutes) minutes: \(error)."
        case .pingsRefused(let error): "The oxend daemon does not accept this node's pings: \(error)."
        }
    }
}
