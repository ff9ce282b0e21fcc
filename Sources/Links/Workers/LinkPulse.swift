internal import Link
internal import Wire

/// What another worker tells worker 0 every ``LinkWorker/pulseInterval``: whether it runs, what it has received, and on
/// which links packets came and went.
///
/// Worker 0 alone decides whether a peer is dead. Its own table has the ``Liveness`` that counts; those of other
/// workers collect what it is to be told.
public struct LinkPulse: Sendable {
    /// One link since the pulse before.
    struct Part: Sendable {
        let link: LinkID
        /// When a packet came last, if one has come.
        let heard: Instant?
        /// Whether a packet was sent, as far as none has come since.
        let hasSent: Bool
    }

    let worker: UInt8
    let parts: [Part]
    /// All packets received so far.
    let received: UInt64
}

extension LinkTable {
    /// The links on which packets came or went since the pulse at `last`.
    mutating func pulse(since last: Instant) -> [LinkPulse.Part] {
        var parts: [LinkPulse.Part] = []
        for place in 0..<placesUsed {
            guard let link = link(at: place) else { continue }
            let entry = unsafe entry(link)
            let heard = unsafe entry.pointee.isOwn ? entry.pointee.liveness.heard : nil
            let isNew = heard.map { $0 >= last } ?? false
            let hasSent = unsafe entry.pointee.liveness.takeSent()
            if isNew || hasSent {
                parts.append(LinkPulse.Part(link: link, heard: isNew ? heard : nil, hasSent: hasSent))
            }
        }
        return parts
    }

    /// Takes what another worker has told of a link.
    mutating func note(_ part: LinkPulse.Part) {
        guard let entry = unsafe liveEntry(part.link) else { return }
        if let heard = part.heard { unsafe entry.pointee.liveness.heard(at: heard) }
        guard part.hasSent else { return }
        unsafe entry.pointee.liveness.sent(now: now)
        earliestTick = unsafe min(earliestTick, entry.pointee.liveness.nextDeadline)
    }

    /// Counts a link as heard now.
    mutating func noteHeard(_ link: LinkID) {
        if let entry = unsafe liveEntry(link) { unsafe entry.pointee.liveness.received(now: now) }
    }
}
