import Control
import Process
import Testing
import Web

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

    @Test("L1: every variable that programs look at for a proxy names the client's")
    func everyProxyVariableIsOurs() {
        let variables = ProxyEnvironment.variables(socks: "127.0.0.1:9", control: "/c")
        let proxies = variables.filter { $0.prefix { $0 != "=" }.lowercased().hasSuffix("_proxy") }
        #expect(
            Set(proxies) == [
                "ALL_PROXY=socks5h://127.0.0.1:9", "all_proxy=socks5h://127.0.0.1:9", "HTTP_PROXY=http://127.0.0.1:9",
                "http_proxy=http://127.0.0.1:9", "HTTPS_PROXY=http://127.0.0.1:9", "https_proxy=http://127.0.0.1:9",
                // wget connects directly to an ftp: address without this one, and refuses SOCKS.
                "FTP_PROXY=socks5h://127.0.0.1:9", "ftp_proxy=socks5h://127.0.0.1:9", "WS_PROXY=http://127.0.0.1:9",
                "ws_proxy=http://127.0.0.1:9", "WSS_PROXY=http://127.0.0.1:9", "wss_proxy=http://127.0.0.1:9",
                "RSYNC_PROXY=127.0.0.1:9",
            ])
        #expect(variables.contains("TUNIC_SOCKS=127.0.0.1:9") && variables.contains("TUNIC_CONTROL=/c"))
    }

    @Test("L6: each command of 'tunic exec' has a user name of its own for the proxy")
    func everyCommandHasAnIdentity() {
        let variables = ProxyEnvironment.variables(socks: "127.0.0.1:9", control: "/c", identity: "exec-1f")
        let proxies = variables.filter { $0.prefix { $0 != "=" }.lowercased().hasSuffix("_proxy") }
        #expect(proxies.count == 13 && proxies.allSatisfy { $0.hasSuffix("exec-1f:x@127.0.0.1:9") })
        #expect(variables.contains("all_proxy=socks5h://exec-1f:x@127.0.0.1:9"))
        #expect(variables.contains("RSYNC_PROXY=exec-1f:x@127.0.0.1:9"))
        // Scripts take the address from here.
        #expect(variables.contains("TUNIC_SOCKS=127.0.0.1:9"))
        let names = (0..<100).map { _ in ProxyEnvironment.newIdentity() }
        #expect(Set(names).count == 100)
        #expect(names.allSatisfy { $0.utf8.allSatisfy { "abcdefghijklmnopqrstuvwxyz0123456789-".utf8.contains($0) } })
    }

    /// What becomes of a command line whose program is a browser, with the folder of a profile.
    private func arranged(_ line: String, _ profile: String = "/p") throws -> (command: [String], notice: String)? {
        let command = line.split(separator: " ").map(String.init)
        let setup = try #require(ProxySetup(listeners: ["127.0.0.1:9"], pac: ""))
        return try ProxiedBrowser(program: command[0])?.arrange(command, by: setup) { _ in profile }
    }

    @Test(arguments: ["firefox", "/usr/bin/firefox-esr", "firefox-bin", "librewolf"])
    func firefoxHasAProfileThatUsesTheProxyAlone(program: String) throws {
        let folder = try Folder()
        try folder.write("user.js", Array("user_pref(\"network.proxy.type\", 0);".utf8))
        let found = try #require(try arranged("\(program) --headless https://example.org/", folder.path))
        #expect(
            found.command
                == [program, "--no-remote", "--profile", folder.path, "--headless", "https://example.org/"])
        #expect(found.notice.contains("a profile of its own, \(folder.path)") && !found.notice.contains("\n"))
        let setup = try #require(ProxySetup(listeners: ["127.0.0.1:9"], pac: ""))
        #expect(try contents("\(folder.path)/user.js") == Array("\(setup.firefoxPreferences)\n".utf8))
        #expect(mode("\(folder.path)/user.js") == "600")
    }

    @Test(arguments: ["-P work", "-p work", "--profile /x", "-profile /x", "--ProfileManager", "--profile=/x"])
    func aNamedProfileOfFirefoxIsLeftAsItIs(option: String) throws {
        let found = try #require(try arranged("firefox \(option)", "/nowhere"))
        #expect(found.command == "firefox \(option)".split(separator: " ").map(String.init))
        #expect(found.notice.contains("the profile that you named"))
    }

    @Test(
        arguments: [
            "chromium", "chromium-browser", "/opt/google-chrome", "google-chrome-stable", "brave-browser", "brave",
            "microsoft-edge-stable", "vivaldi", "opera",
        ])
    func chromiumHasAProfileThatUsesTheProxyAlone(program: String) throws {
        let options = try #require(ProxySetup(listeners: ["127.0.0.1:9"], pac: "")).chromiumOptions
        let found = try #require(try arranged("\(program) https://example.org/"))
        #expect(found.command == [program] + options + ["--user-data-dir=/p", "https://example.org/"])
        // A profile of the user's has the proxy too, but a browser that runs with it already does not change.
        let own = try #require(try arranged("\(program) --user-data-dir=/x"))
        #expect(own.command == [program] + options + ["--user-data-dir=/x"])
        #expect(own.notice.contains("if it runs already"))
    }

    @Test func otherProgramsAreNoBrowsers() throws {
        for program in ["curl", "thunderbird", "chromiumoxide", "firefoxes", "operator", ""] {
            #expect(ProxiedBrowser(program: program) == nil)
        }
    }

    @Test func eachBrowserHasAProfileOfItsOwn() throws {
        let setup = try #require(ProxySetup(listeners: ["127.0.0.1:9"], pac: ""))
        var names: [String] = []
        for program in ["firefox-esr", "librewolf", "chromium-browser", "brave-browser"] {
            let folder = try Folder()
            _ = try ProxiedBrowser(program: program)?.arrange([program], by: setup) {
                names.append($0)
                return folder.path
            }
        }
        #expect(names == ["firefox", "librewolf", "chromium", "brave"])
    }

    @Test("L1: a program that passes an address to a browser that runs already is refused")
    func openersAreRefused() throws {
        for program in ["xdg-open", "/usr/bin/x-www-browser", "sensible-browser", "gio"] {
            let found = failure { try ProxiedBrowser.check(program: program) }
            #expect(found?.code == .usage && found?.message.contains("name the browser") == true)
        }
        for program in ["firefox", "curl", "xdg-opener", ""] { try ProxiedBrowser.check(program: program) }
    }

    @Test("C1: a member of a network goes by nobody's configuration")
    func aMemberHasNobodysConfiguration() {
        #expect(MemberEnvironment.variables.filter { $0.hasPrefix("TUNIC_") } == ["TUNIC_CONFIG=/dev/null"])
        var own = ["HOME": "/h", "TUNIC_CONFIG": "/c", "TUNIC_EXITS": "country:SE"]
        for name in ["STATE_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS", "CREDENTIALS_DIRECTORY"] {
            own[name] = "1"
        }
        #expect(Set(MemberEnvironment.variables(of: own)) == ["HOME=/h", "TUNIC_CONFIG=/dev/null"])
    }
}
