public import Wire

/// How well nodes have worked lately, as this client or node has seen it.
///
/// Each failure adds marks against nodes, and marks fade with a half-life of ten minutes. A node with few marks is chosen
/// less often, one with many is avoided while there are others. Marks are about hops behind the guard above all: guards
/// have their own back-off, so that a node cannot move a client to other guards by refusing.
public struct NodeHealth: Sendable {
    /// After how many seconds half of the marks have faded.
    public static let halfLife: Double = 600
    /// From how many marks on a node is avoided.
    public static let avoidanceMarks: Double = 3
    /// No node has more: it counts again after an hour at most.
    private static let maximumMarks: Double = 64
    /// The most nodes that are remembered.
    private static let maximumNodes = 10_000
    /// Fewer marks than this are forgotten.
    private static let negligible: Double = 0.05

    /// Why a hop refused a build; the values are those of the reply record (protocol.md, section 6.5).
    public enum Reason: UInt8, Sendable, CaseIterable {
        /// It has too much to do.
        case overloaded = 1
        /// It has no descriptor of the next hop.
        case unknownNextHop = 2
        /// It has no link to the next hop and could not make one.
        case nextHopUnreachable = 3
        /// It is about to stop.
        case draining = 4
        /// It has not the suite.
        case suiteUnavailable = 5
        /// The next hop closed the path or could not open its record.
        case nextHopFailed = 6
        /// It finds the time of the record wrong.
        case wrongTime = 7

        /// Marks against the one that says it.
        var own: Double {
            switch self {
            case .overloaded, .suiteUnavailable: 1
            case .unknownNextHop, .nextHopUnreachable, .nextHopFailed: 1
            case .draining: 8
            case .wrongTime: 0.5
            }
        }

        /// Marks against the next hop: never more than against the one that says it.
        var next: Double {
            switch self {
            case .unknownNextHop, .nextHopUnreachable, .nextHopFailed: 1
            case .overloaded, .suiteUnavailable, .draining, .wrongTime: 0
            }
        }
    }

    private struct Marks {
        var count: Double
        var at: UnixTime
    }

    private var marks: [NodeID: Marks] = [:]

    /// No marks against anyone.
    public init() {}

    /// The hop `node` refused a build for `reason`; `next` is the hop behind it, where there is one.
    public mutating func refused(by node: NodeID, next: NodeID?, reason: Reason, at now: UnixTime) {
        add(reason.own, to: node, at: now)
        if let next { add(reason.next, to: next, at: now) }
    }

    /// A build got no answer, or a path fell silent: one of `hops` is to blame, and nobody knows which.
    public mutating func timedOut(_ hops: [NodeID], at now: UnixTime) {
        for node in hops { add(1.5 / Double(hops.count), to: node, at: now) }
    }

    /// A link to `node` could not be made, or died.
    public mutating func unreachable(_ node: NodeID, at now: UnixTime) { add(1, to: node, at: now) }

    /// A path over `hops` was built: half of the marks of each are taken back.
    public mutating func succeeded(_ hops: [NodeID], at now: UnixTime) {
        for node in hops where marks[node] != nil { set(count(of: node, at: now) / 2, for: node, at: now) }
    }

    /// The marks against `node` at `now`.
    public func count(of node: NodeID, at now: UnixTime) -> Double { marks[node].map { Self.faded($0, at: now) } ?? 0 }

    /// Calls `body` with each node that has marks and how many it has at `now`.
    func forEach(at now: UnixTime, _ body: (NodeID, Double) -> Void) {
        for (node, entry) in marks { body(node, Self.faded(entry, at: now)) }
    }

    private static func faded(_ entry: Marks, at now: UnixTime) -> Double {
        guard now > entry.at else { return entry.count }
        return entry.count * power(0.5, Double(now.seconds - entry.at.seconds) / halfLife)
    }

    private mutating func add(_ amount: Double, to node: NodeID, at now: UnixTime) {
        guard amount > 0 else { return }
        if marks[node] == nil, marks.count >= Self.maximumNodes {
            forgetFaded(at: now)
            guard marks.count < Self.maximumNodes else { return }
        }
        set(count(of: node, at: now) + amount, for: node, at: now)
    }

    private mutating func set(_ count: Double, for node: NodeID, at now: UnixTime) {
        marks[node] = count < Self.negligible ? nil : Marks(count: min(count, Self.maximumMarks), at: now)
    }

    /// Drops what has faded away.
    public mutating func forgetFaded(at now: UnixTime) {
        marks = marks.filter { Self.faded($0.value, at: now) >= Self.negligible }
    }

    // MARK: Rows

    /// What to keep across restarts: one row per node with marks.
    public var rows: [NodeRow] {
        marks.map { node, entry in
            var writer = ByteWriter(capacity: 17)
            writer.u8(1)
            writer.u64(entry.count.bitPattern)
            writer.u64(entry.at.seconds)
            return NodeRow(node: node, bytes: writer.bytes)
        }
    }

    /// Goes on from kept rows; rows that cannot be read are left out.
    public init(rows: [NodeRow], at now: UnixTime) {
        for row in rows.prefix(Self.maximumNodes) {
            var reader = ByteReader(row.bytes.rawSpan)
            guard let version = try? reader.u8(), version == 1, let bits = try? reader.u64(),
                let seconds = try? reader.u64(), reader.remaining == 0
            else { continue }
            let count = Double(bitPattern: bits)
            guard count.isFinite, count > 0 else { continue }
            set(count, for: row.node, at: min(UnixTime(seconds: seconds), now))
        }
        forgetFaded(at: now)
    }
}

/// `base` to the power of `exponent`, for 0 < base < 1 and exponent >= 0, to about three digits.
///
/// Whole halvings by repetition and the rest by a line between them: enough for marks that fade, and without a C library.
private func power(_ base: Double, _ exponent: Double) -> Double {
    guard exponent < 64 else { return 0 }
    let whole = Int(exponent)
    var result = 1.0
    for _ in 0..<whole { result *= base }
    return result * (1 - (exponent - Double(whole)) * (1 - base))
}
