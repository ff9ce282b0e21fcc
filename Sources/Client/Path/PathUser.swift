internal import Wire

/// The user of a path: the session of an isolation key, or one for onion requests.
protocol PathUser: AnyObject {
    /// Handles the decrypted payload of a packet; it is called on the packet path.
    func received(_ payload: RawSpan, number: UInt64, on path: Path, now: Instant)
    /// One of its paths is over; `isYoung` says that it was ready for less than `ExitTrust.youth`.
    func pathDied(_ path: Path, _ end: Path.End, isYoung: Bool)
    /// Whether the path carries the user's data.
    func isActive(_ path: Path) -> Bool
    /// The smoothed round-trip time over a path; nil until something has come back over it.
    func roundTrip(of path: Path) -> TimeSpan?
}
