import Wire

/// The last tests of one node at one place, by the two others on their paths; kept in networks of few nodes.
///
/// In a network of six or seven most paths over a node hold one of two others. Where these fail the tests that go over
/// them, the node's score can become grave although it serves. So the tests without the two are looked at: as long as
/// most of these are passed, the two are as likely at fault as the node.
struct TestPairs: Hashable, Sendable {
    /// How many tests are kept, so that few pairs of six nodes are never seen.
    static let limit = 128
    /// Of how many other nodes tests are kept: among more, two are on few paths.
    static let maximumOthers = 24
    /// So many of the last so many tests without two nodes must have failed to show that these are not at fault.
    private static let failures = 4, lately = 8

    private struct Test: Hashable {
        let first: UInt8, last: UInt8
        let isFailed: Bool

        func avoids(_ a: UInt8, _ b: UInt8) -> Bool { first != a && first != b && last != a && last != b }
    }

    private var nodes: [NodeID] = []
    private var tests: [Test] = []

    /// Notes a test over `others`, in their order on the path.
    ///
    /// Nodes that are watched no more keep their places until there are too many: then it begins anew.
    mutating func note(_ isFailed: Bool, over others: [NodeID]) {
        guard let first = others.first, let last = others.last else { return }
        if nodes.count + others.count(where: { !nodes.contains($0) }) > Self.maximumOthers { clear() }
        if tests.count >= Self.limit { tests.removeFirst() }
        tests.append(Test(first: place(of: first), last: place(of: last), isFailed: isFailed))
    }

    mutating func clear() { (nodes, tests) = ([], []) }

    private mutating func place(of node: NodeID) -> UInt8 {
        if let place = nodes.firstIndex(of: node) { return UInt8(truncatingIfNeeded: place) }
        nodes.append(node)
        return UInt8(truncatingIfNeeded: nodes.count - 1)
    }

    /// Whether two other nodes can be at fault for what failed.
    ///
    /// That takes four others at least: without two of three, no path leads on.
    var areTwoOthersSuspect: Bool {
        guard nodes.count >= 4 else { return false }
        let places = UInt8(0)..<UInt8(truncatingIfNeeded: nodes.count)
        return places.contains { a in places.contains { b in a < b && areSuspect(a, b) } }
    }

    private func areSuspect(_ a: UInt8, _ b: UInt8) -> Bool {
        var (count, failed) = (0, 0)
        for test in tests.reversed() where test.avoids(a, b) {
            count += 1
            if test.isFailed { failed += 1 }
            if count == Self.lately { break }
        }
        if failed >= Self.failures { return false }
        return failed < count || tests.count < Self.limit && canAvoid(a, b)
    }

    /// Whether there can be tests without the two: both places were seen to be taken by others.
    private func canAvoid(_ a: UInt8, _ b: UInt8) -> Bool {
        tests.contains { one in
            one.last != a && one.last != b
                && tests.contains { $0.first != a && $0.first != b && $0.first != one.last }
        }
    }
}
