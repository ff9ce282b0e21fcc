public import Directory
internal import Onion
public import Wire

/// Why there is no path.
public enum PathFailure: Error, Equatable {
    /// No hops could be chosen.
    case noChoice(PathRefusal)
    /// A hop no longer has a descriptor.
    case noDescriptor(NodeID)
    /// No record can be made for a hop: its onion key is invalid, or this client lacks its suite.
    case unbuildable(NodeID)
    /// The guard cannot be reached.
    case guardUnreachable(NodeID)
    /// The hop at this index refused; without a status it reset the build, or its answer was broken.
    case refused(hop: Int, BuildStatus?)
    /// As many builds are under way over the guard as one link may have.
    case linkFull
    /// No answer came.
    case timedOut
    /// The path was built, but the user has excluded one of its hops meanwhile.
    case choiceChanged

    /// Whether the failure names the exit of a path of `hops` hops as its cause.
    func isFault(of exit: NodeID, hops: Int) -> Bool {
        switch self {
        case .refused(let hop, let status):
            switch status {
            case .nextHopUnreachable, .nextHopFailed: hop == hops - 2
            case .none, .overloaded, .draining, .ready, .suiteUnavailable, .unknownNextHop, .timeInvalid:
                hop == hops - 1
            }
        case .noDescriptor(let node), .guardUnreachable(let node), .unbuildable(let node): node == exit
        case .noChoice(let refusal): refusal == .noTerminal
        case .linkFull, .timedOut, .choiceChanged: false
        }
    }

    /// The failure to make records for `hops`.
    init(_ error: PathBuildError, hops: [NodeID]) {
        switch error {
        case .hopCount: self = .noChoice(.tooFewNodes)
        case .suiteUnavailable(let hop), .badOnionKey(let hop): self = .unbuildable(hops[hop])
        }
    }

    /// Whether the exit itself ended the build, or its neighbour reports that it did.
    ///
    /// An exit that reports that it drains is believed, so that is not a refusal.
    func isRefusal(of exit: NodeID, hops: Int) -> Bool {
        guard case .refused(_, let status) = self, status != .draining else { return false }
        return hops > 1 && isFault(of: exit, hops: hops)
    }

    /// Whether the exit or its neighbour reports it in a record that no hop before them can make.
    var isSaid: Bool { if case .refused(_, .some) = self { true } else { false } }

    /// Whether no answer came.
    var isTimeout: Bool { if case .timedOut = self { true } else { false } }

    /// The failure for users, in one sentence; it names no node.
    var text: String {
        switch self {
        case .noChoice(let refusal): "No hops can be chosen: \(refusal.text)."
        case .noDescriptor: "The descriptor of a chosen hop is not known yet."
        case .guardUnreachable: "No guard can be reached; check the network connection."
        case .refused(let hop, let status):
            "Hop \(hop + 1) did not build a path (\(status?.name ?? "no reason given"))."
        case .linkFull: "Too many paths are being built over one guard."
        case .timedOut: "Builds of paths are not answered in time."
        case .choiceChanged: "The choice of exits or of nodes to avoid has changed."
        case .unbuildable: "A chosen hop names keys that this client cannot use."
        }
    }
}

extension PathRefusal {
    /// The reason, for the end of a sentence.
    fileprivate var text: String {
        switch self {
        case .noGuard: "none of the nodes can be the guard"
        case .noTerminal: "none of the nodes can be the last hop"
        case .tooFewNodes: "too few nodes of different operators and address ranges"
        case .tooLittleKnown: "too little of the network is known"
        }
    }
}
