internal import Wire

/// The rate of a proxy, which is divided while its bucket is less than half full.
///
/// Each link then gets an equal part, and each session an equal part of its link's. If a link has more sessions than
/// its part has tokens, half of the part is for newcomers.
struct RequestRate {
    typealias Origin = RequestProxy.Origin
    typealias Source = RequestProxy.Source

    private static let window = TimeSpan.seconds(1)
    /// The most sessions that are counted in a window: the requests of several windows.
    private static let mostSources = 16_384

    private struct Link {
        /// Tokens taken by sessions that are not newcomers, and by newcomers.
        var taken = 0, newlyTaken = 0
        /// The tokens that each session took in this window; 0 for a session whose requests were all refused.
        var sessions: [UInt64: Int] = [:]
        var sessionsBefore = 0
    }

    private let perSecond: Int
    private var bucket: TokenBucket
    private var since: Instant
    private var links: [Origin: Link] = [:]
    private var linksBefore = 0
    private var sources = 0

    /// A rate with a full bucket.
    init(perSecond: Int, now: Instant) {
        self.perSecond = perSecond
        bucket = TokenBucket(perSecond: perSecond, burst: perSecond, now: now)
        since = now
    }

    /// Takes a token for `source` if its part has one; `isNew` tells whether the session is a newcomer.
    mutating func take(_ source: Source, isNew: Bool, _ now: Instant) -> Bool {
        if now - since >= Self.window { beginWindow(now) }
        let before = links[source.origin]?.sessions[source.session]
        let isCounted = before != nil || sources < Self.mostSources
        if before == nil, isCounted {
            links[source.origin, default: Link()].sessions[source.session] = 0
            sources += 1
        }
        let own = before ?? 0
        if bucket.isBelowHalf(now), !isWithinPart(source, own, isNew) { return false }
        guard bucket.take(now: now) else { return false }
        if isCounted { links[source.origin]?.sessions[source.session] = own + 1 }
        if isNew {
            links[source.origin, default: Link()].newlyTaken += 1
        } else {
            links[source.origin, default: Link()].taken += 1
        }
        return true
    }

    private func isWithinPart(_ source: Source, _ own: Int, _ isNew: Bool) -> Bool {
        let part = max(1, perSecond / max(1, linksBefore, links.count))
        guard let link = links[source.origin] else { return true }
        let sessions = max(1, link.sessionsBefore, link.sessions.count)
        guard own < max(1, part / sessions) else { return false }
        return sessions <= part || (isNew ? link.newlyTaken : link.taken) < max(1, part / 2)
    }

    private mutating func beginWindow(_ now: Instant) {
        let isNext = now - since < Self.window * 2
        since = now
        sources = 0
        linksBefore = isNext ? links.values.count { !$0.sessions.isEmpty } : 0
        links = links.compactMapValues { link in
            guard isNext, !link.sessions.isEmpty else { return nil }
            return Link(sessionsBefore: link.sessions.count)
        }
    }
}
