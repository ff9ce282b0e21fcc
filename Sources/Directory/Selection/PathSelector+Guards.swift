public import Wire

/// Which guards in use there are for paths.
extension PathSelector {
    /// The primary guards that have no usable descriptor here: to be fetched before paths are chosen.
    ///
    /// Choosing without them would draw others in their place.
    public func missingGuards(of guards: Guards) -> [NodeID] { guards.primaries.map(\.node).filter { !knows($0) } }

    /// The guards in use that can be hops here and do not rest: a path over them brings no other guard into use.
    public func workingGuards(of guards: Guards, at now: UnixTime) -> [NodeID] {
        guards.working(at: now, isUsable: isUsable).map(\.node)
    }
}
