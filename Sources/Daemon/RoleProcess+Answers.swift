internal import Control
internal import Process

extension RoleProcess {
    /// The answer to a request on the control socket.
    func answer(_ command: ControlCommand, _ argument: String?) -> ControlReply {
        switch command {
        case .status: return reports.status.map { .status($0) } ?? .refusal("nothing runs")
        case .metrics: return .report(MetricsReport(metrics: reports.metrics))
        case .log: return .report(LogReport(lines: LogSink.shared.lines))
        case .web:
            guard let url = face?.url else {
                return .refusal("there is no status page: web.listen is off")
            }
            return .report(WebReport(url: url))
        case .reload:
            do throws(Failure) {
                return .report(Done(try loggedReload()))
            } catch {
                return .refusal(error.message)
            }
        case .nodes, .account, .submit, .dryrun, .operation, .maintenance:
            return answerOfRole(command, argument)
                ?? .refusal("this process follows no ledger; ask a relay of a network that has one, with --control")
        case .request:
            return answerOfRole(command, argument) ?? .refusal("a relay asks no nodes by onion requests; ask a client")
        case .box:
            return answerOfRole(command, argument)
                ?? .refusal("a relay stores and reads nothing of its own; ask a client")
        case .check: return answerOfRole(command, argument) ?? .refusal("a client does not check itself; ask a relay")
        case .paths, .newpath, .exits, .streams:
            return answerOfRole(command, argument)
                ?? .refusal("a relay has no \(command.rawValue) of its own; ask a client")
        }
    }

    /// The answer of the first role that has one.
    private func answerOfRole(_ command: ControlCommand, _ argument: String?) -> ControlReply? {
        for role in roles { if let reply = role.answer(command, argument) { return reply } }
        return nil
    }
}
