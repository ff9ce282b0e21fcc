internal import Wire

/// When a node that reaches no other one links without its identity, so that it learns whether it is still listed.
///
/// Nodes do not answer the handshakes of a node that is not in their registry. One that was deregistered while it stood still
/// could not tell this from being offline, nor fetch what says so. A link without an identity is answered.
struct Solitude {
    /// How long no link may be up before it counts: links come and go with the other ends' restarts.
    var limit = TimeSpan.seconds(15)
    /// For how long at most links are begun without the identity then.
    static let hiding = TimeSpan.seconds(30)

    /// Since when no link with another node is up.
    private var since: Instant?
    /// Since when the identity is hidden, and when it was shown again last.
    private var hiddenSince: Instant?
    private var shownSince: Instant?

    /// Whether links are to be begun without the identity.
    var isHiding: Bool { hiddenSince != nil }

    /// For how long no link with another node has been up; nil below the limit.
    func lasts(_ now: Instant) -> TimeSpan? {
        guard let since, now - since >= limit else { return nil }
        return now - since
    }

    /// Notes whether links with other nodes are up, whether this is a node that others may have ceased to answer, and when one
    /// said last that there is no newer snapshot; to be called every second.
    mutating func note(isLinked: Bool, mayBeRefused: Bool, isCurrentAt: Instant?, now: Instant) {
        since = isLinked ? nil : since ?? now
        if let hiddenSince {
            let isCurrent = isCurrentAt.map { $0 > hiddenSince } ?? false
            guard !mayBeRefused || isCurrent || now - hiddenSince >= Self.hiding else { return }
            self.hiddenSince = nil
            shownSince = now
        } else if mayBeRefused, lasts(now) != nil, shownSince.map({ now - $0 >= limit }) ?? true {
            hiddenSince = now
        }
    }
}
