public import Wire

/// The nodes from which a client draws the second hops of its paths: few, drawn once, kept for days.
///
/// A second hop sees the client's guard. If second hops were drawn anew for each path, an attacker that makes a client
/// build many paths would soon have its own node there. So a client draws four nodes by weight, keeps each for 1 to 22
/// days, and uses them evenly; over all clients, a node's use follows its weight. More nodes are drawn only if fewer
/// than two of these fit the path, are known, and work. A node counts as down only by the word of two guards or by its
/// own. A terminal's word does not count, so neither a terminal nor a single guard can move a client to other nodes.
/// The set never exceeds eight.
public struct InnerSet: Sendable {
    /// The number of nodes in use while all work.
    public static let size = 4
    /// The maximum size of the set.
    public static let maximum = 8
    /// The number of working nodes that must fit a path; with fewer, another node is drawn.
    public static let least = 2
    /// The range of the time for which a node is kept, in seconds; the longer of two draws applies.
    public static let lifetime: ClosedRange<UInt64> = 86_400...22 * 86_400
    /// The first and the longest rest of a failed node, in seconds; the rest doubles each time.
    public static let rest: ClosedRange<UInt64> = 10...1_800
    /// Failures within this number of seconds count once.
    static let failureSpan: UInt64 = 5
    /// The number of failures in a row after which a resting node may be replaced by another.
    static let failuresOfDown = 2

    /// A node of the set.
    public struct Member: Hashable, Sendable {
        /// The node id.
        public let node: NodeID
        /// The remaining time for which it is kept, in seconds.
        public internal(set) var left: UInt64
        /// Failures since it last worked, and the time of the last one; lost at a restart.
        var failures = 0, failed = UnixTime(seconds: 0)
        /// The guards, at most two, that reported failures since it last worked, and whether it did so itself; lost at
        /// a restart.
        var reporters: [NodeID] = [], isOwnWord = false
        /// The end of its rest; lost at a restart.
        var restsUntil = UnixTime(seconds: 0)

        /// Whether it rests at `now`; a rest that ends later than the longest possible one comes from a wrong clock and
        /// is ignored.
        func isResting(at now: UnixTime) -> Bool {
            now < restsUntil && restsUntil.seconds - now.seconds <= InnerSet.rest.upperBound
        }

        /// Whether it rests after more than one failure, by its own word or that of two guards; of one guard if
        /// `guards` is 1.
        func isDown(at now: UnixTime, guards: Int) -> Bool {
            failures >= InnerSet.failuresOfDown && isResting(at: now)
                && (isOwnWord || reporters.count >= min(2, guards))
        }
    }

    /// The nodes in the order of drawing.
    public private(set) var members: [Member] = []
    /// Increases with every change that should be kept on disk.
    public private(set) var generation: UInt64 = 0

    /// An empty set, filled when paths are selected.
    public init() {}

    func contains(_ node: NodeID) -> Bool { members.contains { $0.node == node } }

    // MARK: Events

    /// Records that a build got past the second hop of `hops`: the node works, whatever the build's result.
    public mutating func succeeded(_ hops: [NodeID]) {
        guard hops.count > 2 else { return }
        works(hops[1])
    }

    /// Ends the rest of `node` and forgets its failures: it works, or the others have tested it and taken it back.
    public mutating func works(_ node: NodeID) {
        guard let index = members.firstIndex(where: { $0.node == node }) else { return }
        members[index].failures = 0
        members[index].restsUntil = UnixTime(seconds: 0)
        (members[index].reporters, members[index].isOwnWord) = ([], false)
    }

    /// Records that the hop at `hop` refused a build over `hops` for `reason`; nil: without a reason.
    ///
    /// The second hop rests if its guard did not reach it, or if it refused the build itself.
    public mutating func refused(_ hops: [NodeID], hop: Int, reason: NodeHealth.Reason?, at now: UnixTime) {
        guard hops.count > 2 else { return }
        guard hop < 2 else { return succeeded(hops) }
        switch reason {
        case .unknownNextHop, .nextHopUnreachable, .nextHopFailed:
            if hop == 0 { failed(hops[1], by: hops[0], at: now) } else { succeeded(hops) }
        case .overloaded, .draining, .suiteUnavailable:
            if hop == 1 { failed(hops[1], by: hops[1], at: now) }
        case .wrongTime:
            if hop == 1 { succeeded(hops) }
        case nil:
            // The guard may have changed the answer, so the word counts as the guard's.
            if hop == 1 { failed(hops[1], by: hops[0], at: now) }
        }
    }

    /// Records that `node` does not work according to `reporter`, which is a guard or the node itself.
    mutating func failed(_ node: NodeID, by reporter: NodeID, at now: UnixTime) {
        guard let index = members.firstIndex(where: { $0.node == node }) else { return }
        if reporter == node {
            members[index].isOwnWord = true
        } else if members[index].reporters.count < 2, !members[index].reporters.contains(reporter) {
            members[index].reporters.append(reporter)
        }
        let last = members[index].failed
        guard now < last || now.seconds - last.seconds >= Self.failureSpan else { return }
        let rest = min(Self.rest.lowerBound << UInt64(min(members[index].failures, 16)), Self.rest.upperBound)
        members[index].failures += 1
        members[index].failed = now
        members[index].restsUntil = UnixTime(seconds: now.seconds &+ rest)
    }

    /// Counts `seconds` that have passed and drops the nodes whose time is over; changes ``generation`` if a node was
    /// dropped, or if `isKept`.
    mutating func age(by seconds: UInt64, isKept: Bool) {
        guard !members.isEmpty else { return }
        let before = members.count
        for index in members.indices { members[index].left -= min(members[index].left, seconds) }
        members.removeAll { $0.left == 0 }
        if isKept || members.count != before { generation &+= 1 }
    }

    private static func time(using generator: inout some RandomNumberGenerator) -> UInt64 {
        let first = UInt64.random(in: lifetime, using: &generator)
        let second = UInt64.random(in: lifetime, using: &generator)
        return max(first, second)
    }

    // MARK: For path selection

    /// Whether the set has room for one more node; a node that `isListed` rejects can be removed.
    func hasRoom(isListed: (NodeID) -> Bool) -> Bool {
        members.count < Self.maximum || members.contains { !isListed($0.node) }
    }

    /// Adds `node`; if the set is full, the last node that `isListed` rejects is removed.
    mutating func add(
        _ node: NodeID, isListed: (NodeID) -> Bool, using generator: inout some RandomNumberGenerator
    ) {
        guard !contains(node) else { return }
        if members.count >= Self.maximum {
            guard let gone = members.lastIndex(where: { !isListed($0.node) }) else { return }
            members.remove(at: gone)
        }
        members.append(Member(node: node, left: Self.time(using: &generator)))
        generation &+= 1
    }

    // MARK: Rows

    /// The data to keep across restarts: one row for each node, as of the time `counted`, up to which its time is
    /// counted.
    func rows(counted: UnixTime) -> [NodeRow] {
        members.enumerated().map { position, member in
            var writer = ByteWriter(capacity: 18)
            writer.u8(1)
            writer.u8(UInt8(clamping: position))
            writer.u64(counted.seconds)
            writer.u64(member.left)
            return NodeRow(node: member.node, bytes: writer.bytes)
        }
    }

    /// The time up to which the nodes' time in kept rows was counted; 0 without readable rows.
    static func counted(_ rows: [NodeRow]) -> UInt64 {
        rows.compactMap { row in
            var reader = ByteReader(row.bytes.rawSpan)
            guard let version = try? reader.u8(), version == 1, (try? reader.u8()) != nil else { return nil }
            return try? reader.u64()
        }.max() ?? 0
    }

    /// Restores kept rows, whose nodes' time has since been counted up to `counted`; skips unreadable rows.
    init(rows: [NodeRow], counted: UnixTime) {
        var read: [(position: UInt8, member: Member)] = []
        for row in rows {
            var reader = ByteReader(row.bytes.rawSpan)
            guard let version = try? reader.u8(), version == 1, let position = try? reader.u8(),
                let upTo = try? reader.u64(), let left = try? reader.u64(), reader.remaining == 0,
                !read.contains(where: { $0.member.node == row.node })
            else { continue }
            let passed = counted.seconds - min(counted.seconds, upTo)
            let rest = min(left, Self.lifetime.upperBound)
            guard rest > passed else { continue }
            read.append((position, Member(node: row.node, left: rest - passed)))
        }
        members = read.sorted { $0.position < $1.position }.prefix(Self.maximum).map(\.member)
    }
}
