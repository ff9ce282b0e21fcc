internal import Directory
internal import Links
internal import Logging
internal import Wire

/// Reports the fate of paths to the guards, the health and the descriptors.
extension DirectoryClient {
    /// Notes that a path was built; returns its number for ``pathEnded(_:through:_:)``.
    func succeeded(_ hops: [NodeID]) -> UInt64 {
        guards.succeeded(hops[0], at: unixTime)
        guards.accepted(hops[0], next: hops.dropFirst().first)
        guards.inner.succeeded(hops)
        note(guards.builtPath(through: hops[0], succeeded: true))
        health.succeeded(hops, at: unixTime)
        return guards.pathReady(hops)
    }

    /// Notes the end of a ready path that the client did not end itself.
    func pathEnded(_ number: UInt64, through node: NodeID, _ end: PathLoss) {
        let (level, isSetAside) = guards.pathEnded(number, through: node, end)
        note(level)
        guard isSetAside else { return }
        log.warning("a guard ended most of the ready paths through it, and another did not; it is set aside")
    }

    /// Determines the address families again, after a link failed: the machine may have moved to another network.
    func refreshFamilies() {
        let found = AddressFamilies(network, links)
        guard found != choosing.families else { return }
        choosing.families = found
        choosing.selection = nil
    }

    /// Notes that the guard could not be reached.
    func guardFailed(_ node: NodeID) {
        refreshFamilies()
        guards.failed(node, at: unixTime)
        health.unreachable(node, at: unixTime)
    }

    /// Whether another guard in use than `node` can carry paths.
    func hasOtherGuard(than node: NodeID) -> Bool { guards.hasOther(than: node, at: unixTime) }

    /// Notes that the link to a guard has died: builds go over another guard, if there is one.
    func guardLost(_ node: NodeID) { guards.lost(node, at: unixTime) }

    /// Notes that the guard reset the build: it could not open its record, or was asked for too much.
    func reset(_ hops: [NodeID]) {
        guards.refused(hops[0], next: hops.dropFirst().first, at: unixTime)
        health.refused(by: hops[0], next: nil, reason: .overloaded, at: unixTime)
        refetchGuard(hops[0])
    }

    /// Notes that the hop at index `hop` refused with `status`, or broke its answer (nil).
    ///
    /// A guard that refuses for itself has carried no build, so its refusal does not count as bias.
    func refused(_ hops: [NodeID], hop: Int, status: BuildStatus?) {
        let next = hop + 1 < hops.count ? hops[hop + 1] : nil
        if hop > 0 || status?.isOwn != true {
            guards.accepted(hops[0], next: hops.dropFirst().first)
            note(guards.builtPath(through: hops[0], succeeded: false))
        }
        // A hop that resets the build or breaks its answer counts as overloaded.
        let reason = status.flatMap { NodeHealth.Reason(rawValue: $0.rawValue) }
        health.refused(by: hops[hop], next: next, reason: reason ?? .overloaded, at: unixTime)
        guards.inner.refused(hops, hop: hop, reason: reason, at: unixTime)
        if hop == 0, status == .overloaded { guards.refused(hops[0], next: next, at: unixTime) }
        if hop == 0, status == .draining { guards.failed(hops[0], at: unixTime) }
        // A restarted node has a new onion key. The node or its neighbour then answers that it cannot open a record.
        switch status {
        case nil: if hop == 0 { refetchGuard(hops[0]) } else { fetchChanges(of: hops[hop]) }
        case .nextHopFailed: if let next { fetchChanges(of: next) }
        case .ready, .overloaded, .unknownNextHop, .nextHopUnreachable, .draining, .suiteUnavailable, .timeInvalid:
            break
        }
    }

    /// Notes that a build was not answered.
    func timedOut(_ hops: [NodeID]) {
        note(guards.builtPath(through: hops[0], succeeded: false))
        health.timedOut(hops, at: unixTime)
    }

    private func note(_ level: PathBias.Level?) {
        guard let level else { return }
        log.warning("a guard fails many of the paths through it", metadata: ["level": "\(level)"])
    }
}

extension BuildStatus {
    /// Whether a hop refuses the build for itself, and says nothing about the next hop.
    fileprivate var isOwn: Bool {
        switch self {
        case .overloaded, .draining, .suiteUnavailable, .timeInvalid: true
        case .ready, .unknownNextHop, .nextHopUnreachable, .nextHopFailed: false
        }
    }
}
