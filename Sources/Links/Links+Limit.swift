internal import EventLoop
public import Link
public import Wire

extension Links {
    /// Gets a link as ``link(to:at:for:within:completion:)`` does; `completion` gets nil for every failure.
    public func link(
        to node: NodeID, at endpoints: [Endpoint], for source: LinkSource? = nil, limit: TimeSpan,
        completion: @escaping (LinkID?) -> Void
    ) {
        link(to: node, at: endpoints, for: source, within: limit) { completion(try? $0.get()) }
    }

    /// Gets a link as ``link(to:at:for:completion:)`` does, but waits no longer than `limit`: then it counts as
    /// ``LinkFailure/noAnswer``.
    ///
    /// Where this end's line may be slow (``LinksConfiguration/isOnSlowLine``), it waits longer (``LinkPatience``).
    /// The handshake goes on, so that a later call may find the link up. `completion` runs once, not inside of this call.
    public func link(
        to node: NodeID, at endpoints: [Endpoint], for source: LinkSource? = nil, within limit: TimeSpan,
        completion: @escaping (Result<LinkID, LinkFailure>) -> Void
    ) {
        var isOver = false
        var timer: LoopTimer?
        let finish = { (result: Result<LinkID, LinkFailure>) in
            guard !isOver else { return }
            isOver = true
            timer?.close()
            timer = nil
            completion(result)
        }
        let most = configuration.isOnSlowLine ? patience.limit(limit, roundTrip: lineRoundTrip) : limit
        timer = LoopTimer(on: loop) { [weak self] in
            // Where another link stands, it is the node's fault.
            if let self, !list.all.contains(where: \.isUp) { patience.ended(inTime: false) }
            finish(.failure(.noAnswer))
        }
        timer?.schedule(at: (Instant(nanoseconds: loop.now) + most).nanoseconds)
        link(to: node, at: endpoints, for: source) { [weak self] result in
            if case .success = result, !isOver { self?.patience.ended(inTime: true) }
            finish(result)
        }
    }
}

/// How long a client waits for links: longer where none has come in time, so that a slow line is not taken for dead nodes.
struct LinkPatience {
    /// The longest wait: as long as a handshake goes on.
    static let longest = TimeSpan.seconds(10)
    /// A handshake takes two round trips; a lost packet, or one that waits, takes longer.
    private static let roundTrips: Int64 = 5

    /// How many links in a row did not come in time while none stood.
    private var late = 0

    /// How long to wait where `least` is enough on a usual line, and the slowest link has `roundTrip`.
    func limit(_ least: TimeSpan, roundTrip: TimeSpan?) -> TimeSpan {
        let known = min(roundTrip ?? .zero, Self.longest) * Self.roundTrips
        return min(max(least * (1 << Int64(late)), known), Self.longest)
    }

    /// A link has come up, or was not there in time.
    mutating func ended(inTime: Bool) { late = inTime ? 0 : min(late + 1, 2) }
}
