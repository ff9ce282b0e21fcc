/// What can be asked over the control socket.
public enum ControlCommand: String, Codable, CaseIterable, Sendable {
    /// A ``StatusReport``; of a process that is both, the client's, with the relay's in ``StatusReport/others``.
    case status
    /// A ``PathsReport``; a relay refuses it, for it knows no paths, only its own place in them.
    case paths
    /// New paths for new streams: of the isolation key whose label is the argument, else of all; a ``Done``.
    case newpath
    /// The exits that a client may use: an ``ExitsReport``.
    case exits
    /// What a client's apps have open, by isolation key: a ``StreamsReport``.
    case streams
    /// The figures for Prometheus, in a ``MetricsReport``.
    case metrics
    /// The last lines of the log: a ``LogReport``.
    case log
    /// Where the status page is: a ``WebReport``.
    case web
    /// The nodes of the registry, or the one that the argument names: a ``NodesReport``.
    case nodes
    /// What the account that the argument names holds: an ``AccountReport``.
    case account
    /// Hands in an operation on the registry, in hexadecimal: an ``OperationReport``.
    case submit
    /// Whether the rules would take an operation, in hexadecimal, now: an ``OperationReport``, `waiting` or `refused`.
    case dryrun
    /// What became of the operation whose hash is the argument: an ``OperationReport``.
    case operation
    /// Has a relay ask for a maintenance of so many seconds, or with 0 end it: an ``OperationReport``.
    case maintenance
    /// Whether a relay can serve: a ``CheckReport``, to be asked for again until it is done.
    case check
    /// Reads the configuration again, as SIGHUP does; a ``Done``, or what is wrong with it.
    case reload
}

/// One line of the control socket towards the server: `{"command":"status"}`, some with an argument.
public struct ControlRequest: Codable, Sendable {
    /// What is asked.
    public var command: String
    /// What it is asked about, where the command has an argument.
    public var argument: String?

    /// A request of these words.
    public init(command: String, argument: String? = nil) {
        self.command = command
        self.argument = argument
    }
}

/// What a provider answers.
public enum ControlReply: Sendable {
    /// To ``ControlCommand/status``.
    case status(StatusReport)
    /// To ``ControlCommand/paths``.
    case paths(PathsReport)
    /// Any other report.
    case report(any Encodable & Sendable)
    /// Why there is no answer, in one sentence.
    case refusal(String)
}

/// The answer to a command that did what was asked: `{"done":"…"}`.
public struct Done: Codable, Sendable, Equatable {
    /// What was done, in one sentence.
    public var done: String

    /// Says what was done.
    public init(_ done: String) { self.done = done }
}

/// The line that stands for a refusal: `{"error":"…"}`, with `"denied":true` where another user may ask.
struct ControlRefusal: Codable {
    var error: String
    var denied: Bool?
}
