public import Wire

/// The recent failures of nodes, as this client or node has seen them.
///
/// Each failure adds penalties to nodes; penalties fade with a half-life of ten minutes. A node with few penalties is
/// chosen less often. A node with many penalties is avoided while there are others. Penalties mostly concern hops
/// behind the guard: guards have a back-off of their own, so that a node cannot move a client to other guards by
/// refusing builds.
public struct NodeHealth: Sendable {
    /// The time in seconds after which half of the penalties have faded.
    public static let halfLife: Double = 600
    /// The number of penalties from which a node is avoided.
    public static let avoidancePenalties: Double = 3
    /// The maximum number of penalties of a node, so that it is avoided for less than an hour.
    private static let maximumPenalties: Double = 64
    /// The maximum number of nodes with penalties.
    private static let maximumNodes = 10_000
    /// Fewer penalties than this are dropped.
    private static let negligible: Double = 0.05

    /// Why a hop refused a build; the values are those of the reply record (protocol.md, section 6.5).
    public enum Reason: UInt8, Sendable, CaseIterable {
        /// It is overloaded.
        case overloaded = 1
        /// It has no descriptor of the next hop.
        case unknownNextHop = 2
        /// It has no link to the next hop and could not make one.
        case nextHopUnreachable = 3
        /// It is about to stop.
        case draining = 4
        /// It does not have the suite.
        case suiteUnavailable = 5
        /// The next hop closed the path or could not open its record.
        case nextHopFailed = 6
        /// The record's time is wrong by its clock.
        case wrongTime = 7

        /// The penalties for the hop that refuses.
        var own: Double {
            switch self {
            case .overloaded, .suiteUnavailable: 1
            case .unknownNextHop, .nextHopUnreachable, .nextHopFailed: 1
            case .draining: 8
            case .wrongTime: 0.5
            }
        }

        /// The penalties for the next hop: never more than for the hop that refuses.
        var next: Double {
            switch self {
            case .unknownNextHop, .nextHopUnreachable, .nextHopFailed: 1
            case .overloaded, .suiteUnavailable, .draining, .wrongTime: 0
            }
        }
    }

    private struct Penalties {
        var count: Double
        var at: UnixTime
    }

    private var penalties: [NodeID: Penalties] = [:]

    /// No penalties.
    public init() {}

    /// Records that the hop `node` refused a build for `reason`; `next` is the hop behind it, if there is one.
    public mutating func refused(by node: NodeID, next: NodeID?, reason: Reason, at now: UnixTime) {
        add(reason.own, to: node, at: now)
        if let next { add(reason.next, to: next, at: now) }
    }

    /// Records that a build got no answer, or that a path fell silent; the unknown fault is shared among `hops`.
    public mutating func timedOut(_ hops: [NodeID], at now: UnixTime) {
        for node in hops { add(1.5 / Double(hops.count), to: node, at: now) }
    }

    /// Records that a link to `node` could not be made, or died.
    public mutating func unreachable(_ node: NodeID, at now: UnixTime) { add(1, to: node, at: now) }

    /// Records that a path over `hops` was built: each hop loses half of its penalties.
    public mutating func succeeded(_ hops: [NodeID], at now: UnixTime) {
        for node in hops where penalties[node] != nil { set(count(of: node, at: now) / 2, for: node, at: now) }
    }

    /// Drops the penalties of `node`: the others have tested it since, and taken it back.
    public mutating func regained(_ node: NodeID) { penalties[node] = nil }

    /// The penalties of `node` at `now`.
    public func count(of node: NodeID, at now: UnixTime) -> Double {
        penalties[node].map { Self.faded($0, at: now) } ?? 0
    }

    /// Calls `body` with each node that has penalties, and their number at `now`.
    func forEach(at now: UnixTime, _ body: (NodeID, Double) -> Void) {
        for (node, entry) in penalties { body(node, Self.faded(entry, at: now)) }
    }

    private static func faded(_ entry: Penalties, at now: UnixTime) -> Double {
        guard now > entry.at else { return entry.count }
        return entry.count * power(0.5, Double(now.seconds - entry.at.seconds) / halfLife)
    }

    private mutating func add(_ amount: Double, to node: NodeID, at now: UnixTime) {
        guard amount > 0 else { return }
        if penalties[node] == nil, penalties.count >= Self.maximumNodes {
            forgetFaded(at: now)
            guard penalties.count < Self.maximumNodes else { return }
        }
        set(count(of: node, at: now) + amount, for: node, at: now)
    }

    private mutating func set(_ count: Double, for node: NodeID, at now: UnixTime) {
        penalties[node] = count < Self.negligible ? nil : Penalties(count: min(count, Self.maximumPenalties), at: now)
    }

    /// Drops penalties that have faded.
    public mutating func forgetFaded(at now: UnixTime) {
        penalties = penalties.filter { Self.faded($0.value, at: now) >= Self.negligible }
    }

    // MARK: Rows

    /// The data to keep across restarts: one row for each node with penalties.
    public var rows: [NodeRow] {
        penalties.map { node, entry in
            var writer = ByteWriter(capacity: 17)
            writer.u8(1)
            writer.u64(entry.count.bitPattern)
            writer.u64(entry.at.seconds)
            return NodeRow(node: node, bytes: writer.bytes)
        }
    }

    /// Restores kept rows; skips unreadable ones.
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

/// An approximation of `base` to the power of `exponent`, for 0 < base < 1 and exponent >= 0.
///
/// It is exact for whole exponents and linear between them; for base 0.5 it is at most 7 percent too large. It needs no
/// C library.
private func power(_ base: Double, _ exponent: Double) -> Double {
    guard exponent < 64 else { return 0 }
    let whole = Int(exponent)
    var result = 1.0
    for _ in 0..<whole { result *= base }
    return result * (1 - (exponent - Double(whole)) * (1 - base))
}
