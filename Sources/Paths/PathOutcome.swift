public import Onion
public import Wire

/// What came of a build.
public enum PathOutcome: ~Copyable {
    /// The path stands.
    case built(BuiltPath)
    /// The guard's link did not stand in time, or has gone: no hop but the guard is to blame.
    case noLink
    /// No records can be made for these hops.
    case unbuildable(PathBuildError)
    /// A hop (0 is the guard) says why it did not build.
    case refused(hop: Int, BuildStatus)
    /// The record of a hop does not verify, or says what no hop may say: it or one before it has changed the reply.
    case broken(hop: Int)
    /// The guard has reset the build: it could not open its record, or was asked for too much.
    case reset
    /// No answer came in time.
    case unanswered
}
