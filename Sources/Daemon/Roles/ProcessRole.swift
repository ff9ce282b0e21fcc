internal import Control
internal import Process
internal import Settings

/// A client or a relay, for the process that runs it.
protocol ProcessRole: AnyObject {
    /// The kind of role.
    var kind: StatusReport.Role { get }
    /// Starts the role; `onReady` is called once, when apps can be served.
    ///
    /// A relay, which can become ready and unready several times, never calls it; its reports have its state.
    func start(onReady: @escaping () -> Void)
    /// Ends gracefully, then calls back.
    func finish(_ completion: @escaping () -> Void)
    /// Ends as fast as possible, then calls back.
    func close(_ completion: @escaping () -> Void)
    /// Does the work that is due; called once a second.
    func everySecond()
    /// Whether its threads beside the loop's run; if not for long, the process must be started anew.
    var runs: Bool { get }
    /// The report of its state, without rates and uptime; changes nothing.
    func report() -> StatusReport
    /// The answer to a command for this role; nil for other commands.
    func answer(_ command: ControlCommand, _ argument: String?) -> ControlReply?
    /// Prepares a change to other settings, so that committing cannot fail.
    func prepare(_ settings: Settings) throws(Failure) -> PreparedChange
}

extension ProcessRole {
    /// Does nothing by default.
    func everySecond() {}

    /// By default it has no threads.
    var runs: Bool { true }
}

/// A prepared change, to be committed or abandoned.
struct PreparedChange {
    /// Makes the change; it cannot fail any more.
    let commit: () -> Void
    /// Closes what was opened for it.
    let abandon: () -> Void
}
