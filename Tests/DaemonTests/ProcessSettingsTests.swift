import Control
import Process
import Settings
import Testing

@testable import Daemon

@Suite struct ProcessSettingsTests {
    /// The settings that a process needs to start.
    @Test(
        arguments: [
            ("", [], Failure.Code.configuration, "neither a table [client] nor [relay]"),
            ("[relay]", [], .usage, "no network file: name it with 'network' in the configuration file"),
            ("", [.relay], .usage, "no network file: name it with --network or with 'network'"),
            ("network = '/n'\n[relay]", [], .usage, "no data folder: name it with 'data' in the configuration file"),
            ("network = '/n'", [.relay], .usage, "no data folder: name it with --data or with 'data'"),
            ("network = '/n'\n[relay]\n[client]", [], .usage, "no data folder"),
        ] as [(String, [StatusReport.Role], Failure.Code, String)])
    func whatAProcessLacksIsNamed(
        lines: String, roles: [StatusReport.Role], code: Failure.Code, words: String
    ) throws {
        guard Files.environment("STATE_DIRECTORY") == nil else { return }
        let settings = try settings(lines)
        let found = failure { _ = try ProcessSettings(settings, roles: roles) }
        #expect(found?.code == code)
        #expect(found?.message.contains(words) == true, "\(found?.message ?? "")")
    }

    @Test func theControlSocketIsInTheDataFolder() throws {
        let settings = try settings("network = '/n'\ndata = '/nonexistent/data'\n[client]")
        let shared = try ProcessSettings(settings, roles: [])
        #expect(shared.roles == [.client])
        #expect(shared.data == "/nonexistent/data")
        #expect(shared.controlPath == "/nonexistent/data/control.sock" || Files.environment("RUNTIME_DIRECTORY") != nil)
    }

    @Test func aPathThatNoSocketCanHaveIsRefused() throws {
        let long = String(repeating: "a", count: 120)
        let settings = try settings("network = '/n'\ndata = '/d'\ncontrol = '/\(long)'\n[client]")
        #expect(failure { _ = try ProcessSettings(settings, roles: []) }?.message.contains("at most") == true)
    }

    @Test func beneathARelayAClientHasAFolderOfItsOwn() throws {
        let folder = try Folder()
        let both = try ProcessSettings(
            try settings("network = '/n'\ndata = '\(folder.path)'\n[client]\n[relay]"), roles: [])
        #expect(both.roles == [.relay, .client])
        #expect(try both.folder(of: .relay) == folder.path)
        #expect(try both.folder(of: .client) == "\(folder.path)/client")
        #expect(Files.isFolder("\(folder.path)/client"))
        let alone = try ProcessSettings(try settings("network = '/n'\ndata = '\(folder.path)'\n[client]"), roles: [])
        #expect(try alone.folder(of: .client) == folder.path)
    }

    /// Two servers of a process cannot share an address.
    @Test(
        arguments: [
            (
                "[client]\nsocks = ['127.0.0.1:7001']\n[metrics]\nlisten = '127.0.0.1:7001'", "metrics.listen",
                "client.socks"
            ),
            ("[client]\ndns = ['127.0.0.1:7001']\n[web]\nlisten = '127.0.0.1:7001'", "web.listen", "client.dns"),
            (
                "[client]\n[web]\nlisten = '[::1]:7001'\n[metrics]\nlisten = '[::1]:7001'", "metrics.listen",
                "web.listen"
            ),
        ])
    func anAddressIsForOneServer(lines: String, key: String, other: String) throws {
        let settings = try settings(lines)
        let found = failure { try ProcessSettings.checkProcess(settings, roles: [.client]) }
        #expect(found?.problem?.key == key)
        #expect(found?.message.contains("is also used by \(other); give each its own address") == true)
    }

    @Test(arguments: ["web", "metrics"])
    func onlyThisMachineReachesAPage(table: String) throws {
        let settings = try settings("[client]\n[\(table)]\nlisten = '0.0.0.0:80'")
        let found = failure { try ProcessSettings.checkProcess(settings, roles: [.client]) }
        #expect(found?.message.contains("use 127.0.0.1:PORT or [::1]:PORT, or \"off\"") == true)
    }

    @Test func theDefaultOfThePageMayBeTaken() throws {
        try ProcessSettings.checkProcess(try settings("[client]\nsocks = ['127.0.0.1:1088']"), roles: [.client])
    }

    @Test func aGroupThatIsNotThereIsNamed() throws {
        let settings = try settings("control_group = 'no-such-group'\n[client]")
        let found = failure { try ProcessSettings.checkProcess(settings, roles: [.client]) }
        #expect(found?.problem?.key == "control_group")
        #expect(found?.message.contains("sudo groupadd --system no-such-group") == true)
    }
}

@Suite struct ConfigurationCheckTests {
    /// The problems of a file with these lines, as key and message.
    private func problems(_ lines: String) throws -> [(key: String, message: String)] {
        let folder = try Folder()
        let file = try folder.write("tunic.toml", lines)
        return ConfigurationCheck(source(file)).problems.map { ($0.key, $0.message) }
    }

    @Test func theFirstFaultOfEachRoleAndOfTheNetworkFileIsFound() throws {
        let found = try problems(
            "network = '/nonexistent/n.json'\ndata = '/x'\n[client]\nsocks = ['localhost']\n[relay]\nlisten = ['localhost']\n"
        )
        #expect(found.map(\.key).sorted() == ["client.socks", "network", "relay.listen"])
    }

    @Test func everyFaultOfTheFileIsFound() throws {
        let found = try problems("[client]\nhops = 9\nsock = []\n")
        #expect(found.map(\.key) == ["client.hops", "client.sock"])
        #expect(found.last?.message.contains("did you mean client.socks?") == true)
    }

    @Test func aFileThatIsNoTextIsTold() throws {
        let folder = try Folder()
        let file = "\(folder.path)/t.toml"
        try Files.writeNew(file, [0xff, 0xfe], mode: 0o600)
        #expect(ConfigurationCheck(source(file)).problems.first?.message == "\(file) is not text in UTF-8")
        let large = try folder.write("large.toml", String(repeating: " ", count: 1 << 20 | 1))
        #expect(ConfigurationCheck(source(large)).problems.first?.message.contains("too large") == true)
        #expect(ConfigurationCheck(source(folder.path)).problems.count == 1)
    }

    @Test func aRelayWithoutADataFolderGetsOneFromTheService() throws {
        guard Files.environment("STATE_DIRECTORY") == nil else { return }
        let folder = try Folder()
        let file = try folder.write("t.toml", "[relay]\nlisten = ['198.51.100.7:7100']\n")
        #expect(ConfigurationCheck(source(file)).serviceFolder == "/var/lib/tunic")
        try folder.write("t.toml", "data = '/x'\n[relay]\nlisten = ['198.51.100.7:7100']\n")
        #expect(ConfigurationCheck(source(file)).serviceFolder == nil)
        try folder.write("t.toml", "[client]\n")
        #expect(ConfigurationCheck(source(file)).serviceFolder == nil)
    }
}

@Suite struct SettingsSourceTests {
    @Test func anOptionCountsBeforeTheEnvironmentAndThatBeforeTheFile() throws {
        let folder = try Folder()
        var source = SettingsSource(
            file: try folder.write("t.toml", "[client]\nhops = 2\npath_use = 60\nudp_idle = 9\n"),
            environment: ["TUNIC_CLIENT_HOPS": "3", "TUNIC_CLIENT_UDP_IDLE": "8", "HOME": "/a"])
        source.given = [
            .text(option: "--hops 4", key: "client.hops", text: "4"),
            .list(option: "--socks", key: "client.socks", list: ["unix:/a"]),
        ]
        let settings = try source.load()
        #expect(settings.number("client.hops") == 4)
        #expect(settings.number("client.path_use") == 60)
        #expect(settings.number("client.udp_idle") == 8)
        #expect(settings.origin("client.hops") == .option("--hops 4"))
        #expect(settings.list("client.socks") == ["unix:/a"])
    }

    @Test func whatIsWrongWithSettingsIsOneLine() throws {
        let folder = try Folder()
        let source = DaemonTests.source(try folder.write("t.toml", "hop = 1\nclinet = 2\n[client]\nhops = 9\n"))
        let found = failure { _ = try source.load() }
        #expect(found?.code == .configuration)
        #expect(found?.message.hasSuffix("(and 2 more: see 'tunic config check')") == true, "\(found?.message ?? "")")
        #expect(failure { _ = try DaemonTests.source("/nonexistent/t.toml").load() }?.code == .noInput)
    }
}

@Suite struct ConfigurationReportTests {
    @Test func aProblemHasItsPlaceUnlessItIsTheFileItself() {
        let line = SettingProblem(.file("tunic.toml", line: 3), "client.hops", "use 1 to 4")
        let file = SettingProblem(.option("--config"), "", "cannot open x.toml: no such file")
        #expect(ConfigurationReport.text(of: line) == line.description)
        #expect(ConfigurationReport.text(of: file) == "cannot open x.toml: no such file")
        let text = json(ConfigurationReport(file: "tunic.toml", [line]))
        for part in [
            #""file":"tunic.toml""#, #""place":"tunic.toml:3""#, #""key":"client.hops""#, #""message":"use 1 to 4""#,
        ] { #expect(text.contains(part)) }
        #expect(json(ConfigurationReport(file: nil, [])) == #"{"problems":[]}"#)
    }
}
