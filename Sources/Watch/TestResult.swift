public import Wire

/// What came of testing a node: a link, a path through it and on to others.
public enum TestOutcome: Hashable, Sendable {
    /// It served; `capacity` is what it carried in 1,000 bytes a second, where that was measured.
    case passed(capacity: UInt32?)
    /// It did not serve.
    case failed
    /// Something else failed, so the test says nothing of the node.
    case unclear
}

/// What a node knows of another by its own tests.
public struct TestRecord: Hashable, Sendable {
    /// Failures that count: one more for each failed test, one less for each passed one.
    public internal(set) var marks = 0
    /// Passed tests since the last failed one.
    public internal(set) var passes = 0
    /// When the last test ended that said something.
    public internal(set) var lastTest: Instant
    /// When the last test was passed; nil: never.
    public internal(set) var lastPass: Instant?
    /// What the node carried, in 1,000 bytes a second; nil: not measured yet.
    public internal(set) var capacity: UInt32?
    /// When that was measured.
    public internal(set) var measured: Instant?
    /// When it is to be tested again out of turn; nil: in its turn.
    var retry: Instant?
    /// Tests out of turn since the last passed one, by which the wait for the next grows.
    var retries = 0
    /// Tests in a row that said nothing.
    var unclear = 0

    /// Whether the last test was not passed, so that the next one is made in the plainest way.
    public var isInDoubt: Bool { marks > 0 || retries > 0 }
}
