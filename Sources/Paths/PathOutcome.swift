public import Onion
public import Wire

/// The outcome of a build.
public enum PathOutcome: ~Copyable {
    /// The path is built.
    case built(BuiltPath)
    /// The guard's link was not up in time, or is gone: only the guard can be at fault.
    case noLink
    /// No records can be made for these hops.
    case unbuildable(PathBuildError)
    /// A hop (0 is the guard) refused, with this status.
    case refused(hop: Int, BuildStatus)
    /// The record of a hop does not verify, or has a status that no hop may give: the hop or one before it changed it.
    case broken(hop: Int)
    /// The guard has reset the build: it could not open its record, or got too many builds.
    case reset
    /// The guard's link has as many builds under way as it may, so this one was not sent.
    case linkFull
    /// No answer came in time.
    case unanswered
}
