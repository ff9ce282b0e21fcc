internal import Wire

/// Decides when a node without links to other nodes makes links without its identity, to learn whether it is still
/// listed.
///
/// Nodes do not answer handshakes of a node that is not in their registry. A node that was deregistered while it was
/// stopped could therefore neither tell this from being offline, nor fetch the snapshot that shows it. A link without
/// an identity is answered.
struct Solitude {
    /// How long a node must be without links; when other nodes restart, links end and return within this time.
    var limit = TimeSpan.seconds(15)
    /// The longest time for which links are begun without the identity.
    static let hiding = TimeSpan.seconds(30)

    /// The time since which no link with another node is up.
    private var since: Instant?
    /// The time since which the identity is hidden, and the time at which it was last shown again.
    private var hiddenSince: Instant?
    private var shownSince: Instant?

    /// Whether links must be begun without the identity.
    var isHiding: Bool { hiddenSince != nil }

    /// How long no link with another node has been up; nil if shorter than the limit.
    func lasts(_ now: Instant) -> TimeSpan? {
        guard let since, now - since >= limit else { return nil }
        return now - since
    }

    /// Notes the state of the links.
    ///
    /// To be called every second.
    ///
    /// `mayBeRefused` says whether others may have ceased to answer this node. `isCurrentAt` is the time at which a
    /// node last said that there is no newer snapshot.
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
