internal import EventLoop
public import Link
public import Wire

extension Links {
    /// Gets a link as ``link(to:at:for:completion:)`` does, but waits no longer than `limit`: then `completion` gets nil.
    ///
    /// The handshake goes on, so that a later call may find the link up. `completion` runs once, not inside of this call.
    public func link(
        to node: NodeID, at endpoints: [Endpoint], for source: LinkSource? = nil, limit: TimeSpan,
        completion: @escaping (LinkID?) -> Void
    ) {
        var isOver = false
        var timer: LoopTimer?
        let finish = { (link: LinkID?) in
            guard !isOver else { return }
            isOver = true
            timer?.close()
            timer = nil
            completion(link)
        }
        timer = LoopTimer(on: loop) { finish(nil) }
        timer?.schedule(at: (Instant(nanoseconds: loop.now) + limit).nanoseconds)
        link(to: node, at: endpoints, for: source) { result in finish(try? result.get()) }
    }
}
