import Control
import Process
import Testing

@testable import Provision

private func status(_ socks: [String], ready: Bool = true, role: StatusReport.Role = .client) -> StatusReport {
    var report = StatusReport(role: role, version: "test")
    (report.socks, report.ready) = (socks, ready)
    return report
}

@Suite struct ProgramsTests {
    @Test func aProgramFindsTheFirstTcpAddress() throws {
        #expect(
            try ProxiedProgram.proxy(of: status(["unix:/a", "systemd:b", "[::1]:1", "127.0.0.1:2"]), at: "/s")
                == "[::1]:1")
        var relay = status([], role: .relay)
        relay.others = [status(["127.0.0.1:2"])]
        #expect(try ProxiedProgram.proxy(of: relay, at: "/s") == "127.0.0.1:2")
    }

    @Test func aProgramDoesNotRunPastAProxyThatIsNotThere() {
        for (report, words) in [
            (status([], role: .relay), "/s: the process there is not a client"),
            (status(["unix:/a"]), "the client has no TCP address for apps; give it one with 'client.socks'"),
            (status(["127.0.0.1:1"], ready: false), "the client is not ready: it is starting"),
        ] {
            let found = failure { _ = try ProxiedProgram.proxy(of: report, at: "/s") }
            #expect(found?.code == .unavailable)
            #expect(found?.message == words)
        }
    }

    @Test func everyProxyVariableIsOurs() {
        let variables = ProxyEnvironment.variables(socks: "127.0.0.1:9", control: "/c")
        let proxies = variables.filter { $0.prefix { $0 != "=" }.lowercased().hasSuffix("_proxy") }
        #expect(
            Set(proxies) == [
                "ALL_PROXY=socks5h://127.0.0.1:9", "all_proxy=socks5h://127.0.0.1:9", "HTTP_PROXY=http://127.0.0.1:9",
                "http_proxy=http://127.0.0.1:9", "HTTPS_PROXY=http://127.0.0.1:9", "https_proxy=http://127.0.0.1:9",
            ])
        #expect(variables.contains("TUNIC_SOCKS=127.0.0.1:9") && variables.contains("TUNIC_CONTROL=/c"))
    }

    @Test("C1: a member of a network goes by nobody's configuration")
    func aMemberHasNobodysConfiguration() {
        let variables = MemberEnvironment.variables
        #expect(variables.filter { $0.hasPrefix("TUNIC_") } == ["TUNIC_CONFIG=/dev/null"])
        for name in ["STATE_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "CREDENTIALS_DIRECTORY"] {
            #expect(!variables.contains { $0.hasPrefix("\(name)=") })
        }
    }
}
