public import Wire

/// The nodes from which a client draws the second hop of its paths: few, drawn once, kept for days.
///
/// A second hop sees the client's guard. Whoever makes a client build many paths would soon have a node of its own there, if
/// second hops were drawn anew for each path. So a client draws four nodes by weight, keeps each for 1 to 22 days, and uses them
/// evenly: what a node gets follows its weight, over all clients. More are drawn only where fewer than two of these fit the path,
/// are known, and work as two guards say, or the nodes themselves. No word of a terminal counts: it cannot move a client to other
/// nodes, and one guard cannot either. The set never exceeds eight.
public struct InnerSet: Sendable {
    /// How many nodes are in use while all work.
    public static let size = 4
    /// The largest set.
    public static let maximum = 8
    /// How many nodes that work must fit a path; with fewer another is drawn.
    public static let least = 2
    /// How long a node is kept, in seconds; drawn twice, and the longer time counts.
    public static let lifetime: ClosedRange<UInt64> = 86_400...22 * 86_400
    /// How long a node that failed rests at first and at most, in seconds; it doubles.
    public static let rest: ClosedRange<UInt64> = 10...1_800
    /// Failures within so many seconds count once.
    static let failureSpan: UInt64 = 5
    /// After how many failures in a row another node may be drawn in place of one that rests.
    static let failuresOfDown = 2

    /// One node of the set.
    public struct Member: Hashable, Sendable {
        /// Which node.
        public let node: NodeID
        /// For how many more seconds it is kept.
        public internal(set) var left: UInt64
        /// Failures since it last worked, and when the last one was; not kept across restarts.
        var failures = 0, failed = UnixTime(seconds: 0)
        /// The guards that said so since it last worked, two at most, and whether it said so itself; not kept across restarts.
        var reporters: [NodeID] = [], isOwnWord = false
        /// Until when it rests; not kept across restarts.
        var restsUntil = UnixTime(seconds: 0)

        /// Whether it is to be left alone at `now`; a rest that ends later than any can is of a clock that was wrong.
        func isResting(at now: UnixTime) -> Bool {
            now < restsUntil && restsUntil.seconds - now.seconds <= InnerSet.rest.upperBound
        }

        /// Whether it rests and has failed more than once, by its own word or that of two guards, or of the only one of `guards`.
        func isDown(at now: UnixTime, guards: Int) -> Bool {
            failures >= InnerSet.failuresOfDown && isResting(at: now)
                && (isOwnWord || reporters.count >= min(2, guards))
        }
    }

    /// The nodes in the order in which they were drawn.
    public private(set) var members: [Member] = []
    /// Goes up with every change that should be kept on disk.
    public private(set) var generation: UInt64 = 0

    /// An empty set, which fills when paths are chosen.
    public init() {}

    /// Whether `node` is in the set.
    func contains(_ node: NodeID) -> Bool { members.contains { $0.node == node } }

    // MARK: Events

    /// A build came past the second hop of `hops`: the node works, whatever became of the build.
    public mutating func succeeded(_ hops: [NodeID]) {
        guard hops.count > 2, let index = members.firstIndex(where: { $0.node == hops[1] }) else { return }
        members[index].failures = 0
        members[index].restsUntil = UnixTime(seconds: 0)
        (members[index].reporters, members[index].isOwnWord) = ([], false)
    }

    /// The hop at `hop` refused a build over `hops` for `reason`, or without a word.
    ///
    /// The second hop rests when its guard did not reach it, or when it refuses for itself.
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
            // The guard can have changed the answer.
            if hop == 1 { failed(hops[1], by: hops[0], at: now) }
        }
    }

    /// `node` does not work as `reporter` says, a guard or the node itself.
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

    /// Counts `seconds` that have passed, and drops the nodes whose time is over; what is left is to be kept on disk when `isKept` says so.
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

    /// Whether the set takes one more; a node that `isListed` denies makes room.
    func hasRoom(isListed: (NodeID) -> Bool) -> Bool {
        members.count < Self.maximum || members.contains { !isListed($0.node) }
    }

    /// Adds `node`; the last one that `isListed` denies makes room if the set is full.
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

    /// What to keep across restarts: one row per node, as of the time up to which its days are `counted`.
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

    /// Up to when the days of kept rows were counted; 0 without rows that can be read.
    static func counted(_ rows: [NodeRow]) -> UInt64 {
        rows.compactMap { row in
            var reader = ByteReader(row.bytes.rawSpan)
            guard let version = try? reader.u8(), version == 1, (try? reader.u8()) != nil else { return nil }
            return try? reader.u64()
        }.max() ?? 0
    }

    /// Goes on from kept rows, whose days were counted up to `counted` meanwhile; rows that cannot be read are left out.
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
