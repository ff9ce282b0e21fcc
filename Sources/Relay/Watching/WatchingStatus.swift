public import Wire

/// What a node's watching of others has come to.
public struct WatchingStatus: Sendable {
    /// Nodes that are watched, and those of them that seem dead.
    public var watched = 0, dead = 0
    /// Tests that were begun, passed and failed.
    public var tests: UInt64 = 0, passed: UInt64 = 0, failed: UInt64 = 0
    /// How long the last hundred passed tests took until their answer, by length.
    public var durations: [TimeSpan] = []
    /// Votes that this node has cast, and verdicts that it has handed in.
    public var votes: UInt64 = 0, verdicts: UInt64 = 0
    /// Since when no client has made a link, as tests by others would have.
    public var sinceClient = TimeSpan.zero
    /// What its operator must know, in one sentence.
    public var warning: String?
}

/// What a node knows of another by its own tests.
public struct NodeTest: Sendable {
    /// Which node.
    public var node: NodeID
    /// How long ago the last test ended that said something.
    public var sinceTest: TimeSpan
    /// How long ago the last test was passed; nil: never.
    public var sincePass: TimeSpan?
    /// Failures that count.
    public var marks: Int
    /// What it carried, in 1,000 bytes a second; nil: not measured.
    public var capacity: UInt32?
}
