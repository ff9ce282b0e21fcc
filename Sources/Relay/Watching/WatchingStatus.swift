public import Wire

/// The results of a node's watching of others.
public struct WatchingStatus: Sendable {
    /// The nodes that are watched, and those of them that seem dead.
    public var watched = 0, dead = 0
    /// The tests that were begun, passed and failed.
    public var tests: UInt64 = 0, passed: UInt64 = 0, failed: UInt64 = 0
    /// The times until the answer of the last hundred passed tests, in ascending order.
    public var durations: [TimeSpan] = []
    /// The votes that this node has cast, and the verdicts that it has submitted.
    public var votes: UInt64 = 0, verdicts: UInt64 = 0
    /// The time since a client last made a link; tests by other nodes make links as clients do.
    public var sinceClient = TimeSpan.zero
    /// The results of storage tests; nil if the network has no store.
    public var storage: StorageStatus?
}

/// The results of a node's tests of others' storage.
public struct StorageStatus: Sendable {
    /// The numbers of one kind of test.
    public struct Results: Sendable {
        /// The tests that were passed, failed, and without a result.
        public var passed: UInt64 = 0, failed: UInt64 = 0, unclear: UInt64 = 0
    }

    /// The nodes that hold an item of this one, and those that fail the tests.
    public var boxes = 0, dead = 0
    /// Tests whether a node shows an item, and whether it takes one.
    public var retention = Results(), acceptance = Results()
}

/// A node's results of testing another node.
public struct NodeTest: Sendable {
    /// The tested node.
    public var node: NodeID
    /// The time since the last test that had a result.
    public var sinceTest: TimeSpan
    /// The time since the last passed test; nil: none passed.
    public var sincePass: TimeSpan?
    /// The number of failures that still count.
    public var marks: Int
    /// The measured capacity, in units of 1,000 bytes per second; nil: not measured.
    public var capacity: UInt32?
    /// The results of testing its storage; nil: none.
    public var storage: Storage?

    /// The results of testing a node's storage.
    public struct Storage: Sendable {
        /// The time since the last test that had a result.
        public var sinceTest: TimeSpan
        /// The number of failures that still count.
        public var marks: Int
    }
}
