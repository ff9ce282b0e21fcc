internal import Control

/// The kind of process that a command asks.
package enum AskedProcess {
    /// A client.
    case client
    /// A relay.
    case relay
    /// Either of them.
    case any

    /// The process that answers `command`.
    init(_ command: ControlCommand) {
        self =
            switch command {
            case .paths, .newpath, .exits, .streams, .request, .box: .client
            case .account, .submit, .dryrun, .operation, .maintenance, .check: .relay
            case .status, .metrics, .log, .web, .nodes, .reload: .any
            }
    }

    /// The process in words.
    var name: String {
        switch self {
        case .client: "the client"
        case .relay: "the relay"
        case .any: "the process"
        }
    }

    /// What to do if it does not run.
    var remedy: String {
        let command =
            switch self {
            case .client: "'tunic client'"
            case .relay: "'tunic relay'"
            case .any: "'tunic client' or 'tunic relay'"
            }
        return "start it with \(command), or name its socket with --control"
    }
}
