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

    /// Gets a link as ``link(to:at:for:completion:)`` does, but fails with ``LinkFailure/noAnswer`` after `limit`.
    ///
    /// If this end's line may be slow (``LinksConfiguration/isOnSlowLine``), the wait is longer (``LinkPatience``).
    /// After the failure the handshake goes on, so that a later call may find the link up. `completion` runs once,
    /// after this call has returned.
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
            // If another link is up, the line works and the node is at fault.
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

/// How long a client waits for links: longer if none came up in time, so that on a slow line nodes do not seem dead.
struct LinkPatience {
    /// The longest wait: the duration of a handshake.
    static let longest = TimeSpan.seconds(10)
    /// The round trips that a link may take: a handshake takes two, and more if a packet is lost or waits.
    private static let roundTrips: Int64 = 5

    /// How many links in a row failed to come up in time while no other link was up, 2 at most.
    private var late = 0

    /// The wait where `least` is enough on a usual line and the slowest link has `roundTrip`.
    func limit(_ least: TimeSpan, roundTrip: TimeSpan?) -> TimeSpan {
        let known = min(roundTrip ?? .zero, Self.longest) * Self.roundTrips
        return min(max(least * (1 << Int64(late)), known), Self.longest)
    }

    /// A link came up in time, or did not.
    mutating func ended(inTime: Bool) { late = inTime ? 0 : min(late + 1, 2) }
}
