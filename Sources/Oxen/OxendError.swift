/// Why a call to an oxend daemon failed.
public enum OxendError: Error, Hashable, Sendable, CustomStringConvertible {
    /// libcurl is not installed on this machine.
    case noLibrary
    /// The address is not usable, with the reason.
    case badAddress(String)
    /// No answer came; the reason in libcurl's words.
    case noAnswer(String)
    /// The answer is an HTTP error.
    case status(Int)
    /// The answer is not a JSON-RPC reply in the form of the call.
    case malformed(String)
    /// The daemon refused the call with an error of JSON-RPC.
    case refused(code: Int, message: String)
    /// The call's `status` is not `OK`.
    case notOK(String)
    /// By its own account, the daemon's chain is behind the others'.
    case syncing(height: UInt64, target: UInt64)
    /// The top block's height is below an earlier one.
    case wentBack(from: UInt64, to: UInt64)
    /// The list has no active node.
    case noActiveNode
    /// A node is in the list twice, or there are too many.
    case notASnapshot
    /// The block at the list's height has been replaced since.
    case replaced(height: UInt64)
    /// The daemon has no service node key.
    case noKey
    /// The name is not registered, or its value cannot be decrypted.
    case unknownName

    /// One sentence without a full stop, for logs and status.
    public var description: String {
        switch self {
        case .noLibrary: "libcurl is missing on this machine; install the package libcurl4"
        case .badAddress(let reason): "the daemon's address cannot be used: \(reason)"
        case .noAnswer(let reason): "the daemon does not answer (\(short(reason)))"
        case .status(401): "the daemon requires a user and password (HTTP 401); write them into the address"
        case .status(let code): "the daemon answers with HTTP status \(code)"
        case .malformed(let what): "the daemon's answer is invalid (\(short(what)))"
        case .refused(403, _): "the daemon refuses administrative calls at this address; give that of its --rpc-admin"
        case .refused(let code, let message): "the daemon refuses the call (\(code): \(short(message)))"
        case .notOK(let status): "the daemon says \"\(short(status))\""
        case .syncing(let height, let target): "the daemon is still syncing, at height \(height) of \(target)"
        case .wentBack(let from, let to): "the daemon's chain went back from height \(from) to \(to)"
        case .noActiveNode: "the daemon lists no active node"
        case .notASnapshot: "the daemon lists a node twice, or more nodes than a snapshot holds"
        case .replaced(let height): "the daemon's chain has another block at height \(height) now"
        case .noKey: "the daemon has no service node key; was it started with --service-node?"
        case .unknownName: "the name is not registered"
        }
    }
}

/// The first 200 characters of foreign text, on one line.
private func short(_ text: String) -> String {
    String(text.unicodeScalars.prefix(200).map { $0.properties.generalCategory == .control ? " " : Character($0) })
}
