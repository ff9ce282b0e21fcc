internal import Wire

extension RelayProblem {
    /// The problem, in one or two sentences that name no settings or commands.
    public var text: String {
        switch self {
        case .rests: "It rests: the month's bytes are used up; no new paths are taken."
        case .drains: "It drains: no new paths are taken."
        case .wrongClock(let minutes, let isAhead):
            "The clock of this machine is \(minutes) minutes \(isAhead ? "ahead of" : "behind") the other nodes'; "
                + "set it, and keep it right with an NTP daemon."
        case .unheard: "No other node has answered yet."
        case .alone(let time):
            "No other node answers any more, for \(Int(time.inSeconds)) s; see whether this machine is online."
        case .standing(let standing): standing.text
        // The ledger's own sentence is told as it is.
        case .registry(.unwritable(let failure)): RegistryProblem.unwritable(failure).text
        case .registry(let problem): "The registry: \(problem.text)"
        case .unsaved(let error): "The state of the network cannot be saved: \(error)."
        case .unstored(let error): "The swarm store cannot be written, and takes no items: \(error)."
        case .storeFull(let bytes):
            "The swarm store is full, with \(bytes / 1_000_000) MB, and takes no items."
        case .noNameServer:
            "The name servers do not answer: names cannot be looked up."
        case .warning(let kind): kind.text
        }
    }
}

extension RelayProblem.Standing {
    /// The reason for the operator, in one or two sentences.
    var text: String {
        switch self {
        case .unstaked(let height): "This node is not staked in the snapshot of height \(height)."
        case .suspended(let warning): warning?.text ?? "This node is decommissioned."
        case .unregistered:
            "This node is not registered: no path leads over it until it is."
        case .deregistered(let grace, let lockedUntil):
            "This node was deregistered: it did not serve for longer than its credit and the "
                + "\(Self.text(ofGrace: grace)) of grace after it. Its stake is locked until "
                + "\(lockedUntil.dateText); to serve again, register it with another stake."
        case .open: "The stake of this node is not full: no path leads over it until it is."
        case .activeSoon: "This node is active, and is used from the next epoch on."
        case .maintenance(let until):
            "This node is in maintenance until \(until.dateText), as it asked."
        case .decommissioned(let deregistersAt):
            "This node is decommissioned: others found that it did not serve. It is used again when it passes their "
                + "tests, or else deregistered at \(deregistersAt.dateText) and its stake locked; "
                + "see that its UDP port can be reached."
        }
    }

    /// The grace of `seconds` seconds, for people.
    private static func text(ofGrace seconds: UInt32) -> String {
        seconds > 0 && seconds % 60 == 0 ? "\(seconds / 60) min" : "\(seconds) s"
    }
}
