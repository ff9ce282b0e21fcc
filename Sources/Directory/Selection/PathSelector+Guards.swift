public import Wire

/// The guards in use that are available for paths.
extension PathSelector {
    /// The primary guards without a usable descriptor here; fetch their descriptors before selecting paths.
    ///
    /// A selection without them would draw other guards in their place.
    public func missingGuards(of guards: Guards) -> [NodeID] { guards.primaries.map(\.node).filter { !knows($0) } }

    /// The guards in use that can be hops and do not rest; a path over them brings no other guard into use.
    public func workingGuards(of guards: Guards, at now: UnixTime) -> [NodeID] {
        guards.working(at: now, isUsable: isUsable).map(\.node)
    }
}
