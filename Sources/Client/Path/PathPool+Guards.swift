internal import Directory
internal import Links
internal import Wire

/// Which of the guards in use a new path goes over.
extension PathPool {
    /// After this wait for a guard's link, builds also use other guards; a handshake takes two round trips.
    static let slowLink = TimeSpan.milliseconds(700)

    /// The guards in use.
    private var guardsInUse: [NodeID] { directory.guards.primaries.map(\.node) }

    /// The guards whose links take longer than usual.
    private var slowGuards: [NodeID] {
        all.filter { $0.state == .building && $0.link == nil && now - $0.since > Self.slowLink }.map(\.entry)
    }

    /// The guards in use that have left pings on their links unanswered.
    ///
    /// Their links end up to 10 s later if this client has no other link: then its own line may be at fault.
    private var silentGuards: [NodeID] {
        guardsInUse.filter { links.existingLink(to: $0).map(links.leavesPings) ?? false }
    }

    /// Whether no path is ready, and all builds wait for their guards' links.
    var awaitsLinks: Bool { !all.isEmpty && all.allSatisfy { $0.state == .building && $0.link == nil } }

    /// Whether no guard answers, so that this machine's line may be at fault.
    var isLineSilent: Bool { links.isLineSilent }

    /// The guard in use that is passed over because paths over it end too soon.
    var passedOver: NodeID? { hops > 1 ? pauses.passedOver(of: guardsInUse, at: now) : nil }

    /// The nodes that a new path avoids beside `others`: guards of `slow` and those that do not answer, and the guard
    /// that is passed over.
    func directed(_ others: [NodeID], _ slow: [NodeID]) -> [NodeID] {
        Self.avoided(
            others, guards: guardsInUse, slow: slow + slowGuards, silent: silentGuards, passedOver: passedOver)
    }

    /// The nodes that a new path avoids: `others`, the slow guards, and the silent ones of `guards`.
    ///
    /// Only where there are neither, it avoids the guard that is passed over.
    ///
    /// A path may share its guard with the others, so that it need not use a guard that is not in use. Otherwise an
    /// exit that ends legs or leaves builds unanswered could decide how many guards see its client. For the same reason
    /// silent guards are avoided only while another one in use answers.
    static func avoided(
        _ others: [NodeID], guards: [NodeID], slow: [NodeID], silent: [NodeID], passedOver: NodeID?
    ) -> [NodeID] {
        let silent = guards.allSatisfy { slow.contains($0) || silent.contains($0) } ? [] : silent
        let middles = others.filter { !guards.contains($0) }
        if slow.isEmpty, silent.isEmpty, let passedOver { return middles + [passedOver] }
        let isNoneLeft = !guards.isEmpty && guards.allSatisfy { others.contains($0) || silent.contains($0) }
        return (isNoneLeft ? middles : others) + slow + silent
    }
}
