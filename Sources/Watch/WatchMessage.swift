public import Wire

/// The control messages with which nodes test and judge each other (protocol.md, section 11).
public enum WatchMessage: UInt8, MessageFamily {
    /// Asks a member of a quorum to test a node, or tells a node that its test is requested.
    case suspect = 32
    /// Sends votes of a quorum, and asks for the receiver's.
    case votes = 33
    /// Asks whether new links to the sender can be made.
    case linkBack = 34

    /// The longest body in bytes.
    public var longestBody: Int {
        switch self {
        case .suspect: Ballot.size
        case .votes: BallotVotes.maximumSize
        case .linkBack: 0
        }
    }

    /// The longest answer in bytes.
    public var longestAnswer: Int {
        switch self {
        case .suspect: 0
        case .votes: BallotVotes.maximumSize
        case .linkBack: 2
        }
    }
}
