/// The commands of the control socket.
public enum ControlCommand: String, Codable, CaseIterable, Sendable {
    /// A ``StatusReport``; for a process with both roles, the client's, with the relay's in ``StatusReport/others``.
    case status
    /// A ``PathsReport``; a relay refuses it, because it knows only its own place in paths.
    case paths
    /// Makes new paths for new streams of the isolation key whose label is the argument, or of all keys: a ``Done``.
    case newpath
    /// The exits that a client may use: an ``ExitsReport``.
    case exits
    /// The open streams of a client's apps, by isolation key: a ``StreamsReport``.
    case streams
    /// The metrics for Prometheus, in a ``MetricsReport``.
    case metrics
    /// The last lines of the log: a ``LogReport``.
    case log
    /// The address of the status page: a ``WebReport``.
    case web
    /// The nodes of the registry, or the one named by the argument: a ``NodesReport``.
    case nodes
    /// The holdings of the account named by the argument: an ``AccountReport``.
    case account
    /// Submits an operation on the registry, in hexadecimal: an ``OperationReport``.
    case submit
    /// Whether the registry's rules would accept an operation, in hexadecimal, now: an ``OperationReport`` with the
    /// state `waiting` if so, else `refused`.
    case dryrun
    /// The state of the operation whose hash is the argument: an ``OperationReport``.
    case operation
    /// Has a relay submit a maintenance of the argument's seconds, or its end if that is 0: an ``OperationReport``.
    case maintenance
    /// Whether a relay can serve: a ``CheckReport``; ask again until it is done.
    case check
    /// Asks a node by an onion request: a ``RequestReport``. The argument is the node's id, a space and the method
    /// (`status`).
    case request
    /// Reads or writes a box of the swarm store, for developers. The argument is the action, the box or its key, and
    /// what the action needs.
    case box
    /// Reads the configuration again, like SIGHUP: a ``Done``, or a refusal with the problem.
    case reload
}

/// One request line of the control socket: `{"command":"status"}`, some with an argument.
public struct ControlRequest: Codable, Sendable {
    /// The command's name.
    public var command: String
    /// The argument, if the command has one.
    public var argument: String?

    /// A request with this command and argument.
    public init(command: String, argument: String? = nil) {
        self.command = command
        self.argument = argument
    }
}

/// The answer of a provider.
public enum ControlReply {
    /// To ``ControlCommand/status``.
    case status(StatusReport)
    /// To ``ControlCommand/paths``.
    case paths(PathsReport)
    /// Any other report.
    case report(any Encodable & Sendable)
    /// The reason for a refusal, in one sentence.
    case refusal(String)
    /// An answer that comes later.
    case later(DeferredReply)
}

/// An answer that its provider gives later, once.
public final class DeferredReply {
    /// The answer, once it was given.
    private(set) var reply: ControlReply?
    private var receiver: ((ControlReply) -> Void)?

    /// An answer that is not known yet.
    public init() {}

    /// The answer is `reply`, which is not another deferred one.
    public func give(_ reply: ControlReply) {
        guard self.reply == nil else { return }
        self.reply = reply
        receiver?(reply)
        receiver = nil
    }

    /// Calls `receiver` when the answer is given, which it was not yet.
    func receive(_ receiver: @escaping (ControlReply) -> Void) { self.receiver = receiver }
}

/// The answer to a command that was carried out: `{"done":"…"}`.
public struct Done: Codable, Sendable, Equatable {
    /// A description of the change, in one sentence.
    public var done: String

    /// An answer with this description.
    public init(_ done: String) { self.done = done }
}

/// The line of a refusal: `{"error":"…"}`, with `"denied":true` if another user may ask.
struct ControlRefusal: Codable {
    var error: String
    var denied: Bool?
}
