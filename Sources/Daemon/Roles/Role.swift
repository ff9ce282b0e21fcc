internal import Control
internal import Process
internal import Settings

/// A client or a relay, as the process around it sees it.
protocol Role: AnyObject {
    /// What it is.
    var kind: StatusReport.Role { get }
    /// Begins to work; `onReady` is called once, when apps can be served.
    ///
    /// A relay, which is ready and unready by turns, never calls it: its reports say so.
    func start(onReady: @escaping () -> Void)
    /// Ends gracefully, then calls back.
    func finish(_ completion: @escaping () -> Void)
    /// Ends as fast as possible, then calls back.
    func close(_ completion: @escaping () -> Void)
    /// Does what is due; called once a second.
    func everySecond()
    /// What it is doing, without the rates and the uptime. Changes nothing.
    func report() -> StatusReport
    /// Answers what only this role can answer; nil for the rest.
    func answer(_ command: ControlCommand, _ argument: String?) -> ControlReply?
    /// Gets ready to go by other settings, so that committing cannot fail.
    func prepare(_ settings: Settings) throws(Failure) -> PreparedChange
}

extension Role {
    /// Nothing is due.
    func everySecond() {}
}

/// A change that only needs to be done, or dropped.
struct PreparedChange {
    /// Does it.
    let commit: () -> Void
    /// Lets go of what was opened for it.
    let abandon: () -> Void
}
