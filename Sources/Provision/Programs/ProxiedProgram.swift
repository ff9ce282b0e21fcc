internal import Control
package import Process
internal import Web

/// Runs a program that uses a running client as its proxy.
package enum ProxiedProgram {
    /// Runs `command` in place of this process, with the client at `target` as its proxy; returns only by throwing.
    ///
    /// Each command has an identity of its own, and a browser its own profile. Programs that only pass an address to a
    /// browser are refused.
    package static func run(_ command: [String], through target: ControlTarget) throws(Failure) -> Never {
        if let program = command.first { try ProxiedBrowser.check(program: program) }
        let socks = try proxy(of: try target.ask(.status, of: .client, as: StatusReport.self), at: target.path)
        var command = command
        if let browser = command.first.flatMap({ ProxiedBrowser(program: $0) }),
            let setup = ProxySetup(listeners: [socks], pac: "")
        {
            let arranged = try browser.arrange(command, by: setup, in: ProxiedBrowser.folder)
            complain(arranged.notice)
            command = arranged.command
        }
        try CommandReplacement.run(
            command,
            environment: ProxyEnvironment.variables(
                socks: socks, control: target.path, identity: ProxyEnvironment.newIdentity()))
    }

    /// The TCP address of the client in `report`; throws if it has none that is usable.
    static func proxy(of report: StatusReport, at path: String) throws(Failure) -> String {
        let client = ([report] + (report.others ?? [])).first { $0.role == .client }
        guard let client else { throw Failure(.unavailable, "\(path): the process there is not a client") }
        guard let socks = client.socks.first(where: { !$0.hasPrefix("unix:") && !$0.hasPrefix("systemd:") }) else {
            throw Failure(.unavailable, "the client has no TCP address for apps; give it one with 'client.socks'")
        }
        guard client.ready else {
            throw Failure(.unavailable, "the client is not ready: \(client.problem ?? "it is starting")")
        }
        return socks
    }
}
