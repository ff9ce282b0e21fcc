/// Why datagrams of UDP associations were dropped, and how many.
public struct DatagramDrops: Sendable {
    /// Why a datagram went no further.
    public enum Reason: Int, CaseIterable, Sendable {
        /// It came from another program, or from another port than the app's.
        case udpSource
        /// It is a fragment, or cannot be read.
        case udpUnreadable
        /// Its destination may not be reached, by the client's rules or the exit's.
        case udpNotAllowed
        /// The association has spoken to too many new hosts of late.
        case udpHosts
        /// More bytes than the host or the association may be sent.
        case udpRate
        /// Its name does not resolve, or too much waits for names.
        case udpName
        /// The session's queue is full.
        case udpQueue
    }

    private var counts = [UInt64](repeating: 0, count: Reason.allCases.count)

    /// None yet.
    public init() {}

    /// One more for `reason`.
    public mutating func add(_ reason: Reason) { counts[reason.rawValue] &+= 1 }

    /// The counts by reason; only reasons that occurred.
    public var byName: [String: UInt64] {
        var named: [String: UInt64] = [:]
        for reason in Reason.allCases where counts[reason.rawValue] > 0 { named["\(reason)"] = counts[reason.rawValue] }
        return named
    }
}
