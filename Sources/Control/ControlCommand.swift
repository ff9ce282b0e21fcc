/// What can be asked over the control socket.
public enum ControlCommand: String, Codable, CaseIterable, Sendable {
    /// A ``StatusReport``.
    case status
    /// A ``PathsReport``; a relay refuses it, for it knows no paths, only its own place in them.
    case paths
}

/// One line of the control socket towards the server: `{"command":"status"}`.
struct ControlRequest: Codable {
    var command: String
}

/// What a provider answers.
public enum ControlReply: Sendable {
    /// To ``ControlCommand/status``.
    case status(StatusReport)
    /// To ``ControlCommand/paths``.
    case paths(PathsReport)
    /// Why there is no answer, in one sentence.
    case refusal(String)
}

/// The line that stands for a refusal: `{"error":"…"}`.
struct ControlRefusal: Codable {
    var error: String
}
