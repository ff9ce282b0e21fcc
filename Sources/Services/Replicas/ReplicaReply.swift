/// What has become of a question to a replica.
public enum ReplicaReply: Sendable {
    /// The replica has answered: `status │ result`.
    case answer([UInt8])
    /// The question was sent, and no answer came.
    case silence
    /// This client had no path or no room for the question: it may be asked again soon.
    case notSent
    /// This client does not know the replica's key, so it cannot ask it.
    case unknownReplica
}
