/// Counts of dropped datagrams of UDP associations, by reason.
public struct DatagramDrops: Sendable {
    /// Why a datagram was dropped.
    public enum Reason: Int, CaseIterable, Sendable {
        /// It came from another program, or from a port other than the app's.
        case udpSource
        /// It is a fragment, or cannot be decoded.
        case udpUnreadable
        /// The rules of the client or the exit do not allow its destination.
        case udpNotAllowed
        /// The association has sent to too many new hosts recently.
        case udpHosts
        /// The host or the association has reached its limit of bytes.
        case udpRate
        /// Its name does not resolve, or too many datagrams wait for names.
        case udpName
        /// The exit has no socket of its destination's address family.
        case udpSocket
        /// The session's queue is full.
        case udpQueue

        /// Its name in status and metrics, which does not change with the name in the source.
        public var name: String {
            switch self {
            case .udpSource: "udpSource"
            case .udpUnreadable: "udpUnreadable"
            case .udpNotAllowed: "udpNotAllowed"
            case .udpHosts: "udpHosts"
            case .udpRate: "udpRate"
            case .udpName: "udpName"
            case .udpSocket: "udpSocket"
            case .udpQueue: "udpQueue"
            }
        }
    }

    private var counts = [UInt64](repeating: 0, count: Reason.allCases.count)

    /// Counts of zero.
    public init() {}

    /// Adds one for `reason`.
    public mutating func add(_ reason: Reason) { counts[reason.rawValue] &+= 1 }

    /// The counts by reason; only reasons that occurred.
    public var byName: [String: UInt64] {
        var named: [String: UInt64] = [:]
        for reason in Reason.allCases where counts[reason.rawValue] > 0 { named[reason.name] = counts[reason.rawValue] }
        return named
    }
}
