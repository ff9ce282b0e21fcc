internal import Wire

/// What a path carries: the session of an isolation key, or one for onion requests.
protocol PathUser: AnyObject {
    /// Takes the open payload of a packet; it is called on the packet path.
    func received(_ payload: RawSpan, number: UInt64, on path: Path, now: Instant)
    /// A path of it is over; `isYoung` says that it was ready for less than `ExitTrust.youth`.
    func pathDied(_ path: Path, _ end: Path.End, isYoung: Bool)
    /// Whether the path carries its data.
    func isActive(_ path: Path) -> Bool
    /// The smoothed round-trip time over a path; nil as long as nothing has come back over it.
    func roundTrip(of path: Path) -> TimeSpan?
}
