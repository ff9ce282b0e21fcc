package import Bench
internal import Control
internal import EventLoop
package import Process
internal import SocksProtocol

/// Fetches a page through a running client.
package enum ClientCheck {
    /// Fetches the page at `url` through the client at `target`, and returns the exit that it used.
    package static func run(_ url: String, through target: ControlTarget) throws(Failure) -> PageReport {
        let page: PageCheck
        do { page = try PageCheck(url) } catch { throw Failure(error) }
        let status = try target.ask(.status, of: .client, as: StatusReport.self)
        let endpoint: ProxyEndpoint
        do { endpoint = try page.endpoint(status.socks, flags: status.socksFlags ?? []) } catch { throw Failure(error) }
        let before = try keys(target)
        let loop = try makeLoop()
        defer {
            page.close()
            loop.close()
        }
        var report: PageReport
        do throws(CheckFault) {
            // Separate credentials: the check shares no path with an app.
            report = try page.run(
                on: loop, through: endpoint, user: SocksCredentials.checkUser,
                password: String(UInt64.random(in: 0 ... .max), radix: 36))
        } catch {
            throw Failure(error)
        }
        // The check's connection is still open, so its isolation key is the only new one with streams.
        // The report lacks the exit if the client does not tell its keys any more.
        let exits = try? keys(target).filter { key in
            key.streams > 0 && !before.contains { $0.label == key.label }
        }.map(\.exit)
        if let exits, Set(exits).count == 1 { report.exit = exits[0] }
        return report
    }

    /// The isolation keys of apps.
    private static func keys(_ target: ControlTarget) throws(Failure) -> [StreamsReport.Key] {
        try target.ask(.streams, as: StreamsReport.self).keys
    }
}

extension Failure {
    /// The failure of a check without an answer.
    init(_ fault: CheckFault) {
        switch fault.kind {
        case .usage: self.init(.usage, fault.message)
        case .unavailable: self.init(.unavailable, fault.message)
        case .system(let number): self.init(.unavailable, "\(fault.message) (\(errorText(number)))")
        case .closed: self.init(.io, fault.message)
        }
    }
}
