public import Wire

/// Closes a link that carries no paths (protocol.md, section 3.8): after 60 s for a client's, 5 minutes between nodes.
public struct IdleTimer: Sendable {
    /// The time without paths after which a client's link closes.
    public static let clientLimit = TimeSpan.seconds(60)
    /// The time without paths after which a link between nodes closes.
    public static let nodeLimit = TimeSpan.seconds(300)

    private let limit: TimeSpan
    private var pathCount = 0
    private var idleSince: Instant

    /// A link without paths; `limit` is one of the two above unless a network says otherwise.
    public init(limit: TimeSpan, now: Instant) {
        self.limit = limit
        idleSince = now
    }

    /// A path uses the link.
    public mutating func addPath() { pathCount += 1 }

    /// A path no longer uses the link.
    public mutating func removePath(now: Instant) {
        pathCount = max(0, pathCount - 1)
        idleSince = max(idleSince, now)
    }

    /// A control message was sent or came.
    public mutating func touch(now: Instant) { idleSince = max(idleSince, now) }

    /// How many paths use the link.
    public var paths: Int { pathCount }

    /// Since when there has been no path and no control message; while paths use the link, the last end of a path or
    /// message.
    public var quietSince: Instant { idleSince }

    /// When the link closes if nothing happens; nil while paths use it.
    public var deadline: Instant? { pathCount > 0 ? nil : idleSince + limit }
}
