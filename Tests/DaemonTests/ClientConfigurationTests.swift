import Client
import Directory
import OnionCrypto
import Process
import Settings
import Testing
import Wire

@testable import Daemon

/// The configuration of a client whose file has these lines under [client].
private func configuration(_ lines: String) throws -> ClientConfiguration {
    try ClientConfiguration(try settings("[client]\n\(lines)"))
}

@Suite struct ClientConfigurationTests {
    /// The catalogue and the configuration have the same defaults.
    @Test func theDefaultsAreTheConfigurationsOwn() throws {
        let found = try configuration("")
        let own = ClientConfiguration(socks: [.tcp(Endpoint(address: IPAddress(v4: 0x7f00_0001), port: 1_080))])
        #expect(found.listeners == own.listeners)
        #expect(found.dns == own.dns)
        #expect(found.udpIdle == own.udpIdle)
        #expect(found.hops == own.hops)
        #expect(found.pathUse == own.pathUse)
        #expect(found.sparePaths == own.sparePaths)
        #expect(found.exits.isEmpty && found.avoided.isEmpty && found.own.isEmpty)
        #expect(found.exitCheck == own.exitCheck)
    }

    @Test func eachSettingHasItsMeaning() throws {
        let node = NodeID(SigningKey().publicKey)
        let found = try configuration(
            """
            socks = ["127.0.0.1:9050,names-only,destination-port", "[::1]:0", "unix:/run/s"]
            dns = ["127.0.0.1:5353"]
            udp_idle = "2m"
            hops = 4
            path_use = 60
            spare_paths = 0
            exits = ["country:se", "set:own"]
            avoid = ["\(node)"]
            exit_check = "1h"
            [client.sets]
            own = ["\(node)", "country:NO"]
            """)
        #expect(found.socks.map(\.description) == ["127.0.0.1:9050", "[::1]:0", "unix:/run/s"])
        #expect(found.listeners[0].flags == ["destination-port", "names-only"])
        #expect(found.listeners[1].flags.isEmpty)
        #expect(found.dns.map(\.description) == ["127.0.0.1:5353"])
        #expect(found.udpIdle == .seconds(120))
        #expect(found.hops == 4)
        #expect(found.pathUse == .seconds(60))
        #expect(found.sparePaths == 0)
        #expect(found.exits == NodeChoice(nodes: [node], countries: ["SE", "NO"]))
        #expect(found.avoided == NodeChoice(nodes: [node]))
        #expect(found.exitCheck == .seconds(3_600))
    }

    /// Each refusal names the file, the line, the key and the remedy.
    @Test(
        arguments: [
            ("socks = ['0.0.0.0:1']", 2, "client.socks", "--allow-remote, or allow_remote = true, permits"),
            ("socks = ['localhost']", 2, "client.socks", "[::1]:1080, got 'localhost'"),
            ("socks = ['127.0.0.1']", 2, "client.socks", "expected an address with a port"),
            ("socks = ['unix:s']", 2, "client.socks", "after unix: comes an absolute path of at most 107 bytes"),
            ("socks = ['unix:/a/']", 2, "client.socks", "is not a unix socket"),
            ("socks = ['127.0.0.1:1,']", 2, "client.socks", "'' is not a rule for streams"),
            (
                "socks = ['127.0.0.1:1,credentials']", 2, "client.socks",
                "'credentials' is not a rule for streams"
            ),
            ("socks = ['127.0.0.1:1', '127.0.0.1:1']", 2, "client.socks", "an address is named twice"),
            ("socks = ['unix:/a', 'unix:/a,names-only']", 2, "client.socks", "an address is named twice"),
            ("dns = ['192.0.2.1:53']", 2, "client.dns", "DNS is answered on loopback only"),
            (
                "dns = ['127.0.0.1:53', '127.0.0.1:53']", 2, "client.dns",
                "an address is named twice, here or in 'socks'"
            ),
            ("dns = ['127.0.0.1:1080']", 2, "client.dns", "an address is named twice, here or in 'socks'"),
            ("exits = ['country:Sweden']", 2, "client.exits", "use two letters, such as country:SE"),
            ("exits = ['somebody']", 2, "client.exits", "or set: with a name, got 'somebody'"),
            ("avoid = ['set:none']", 2, "client.avoid", "there is no set 'none'; name it under [client.sets]"),
            ("avoid = ['set:b']\n[client.sets]\na = ['country:SE']", 2, "client.avoid", "there are: a"),
            ("avoid = ['set:a']\n[client.sets]\na = ['x']", 4, "client.sets.a", "expected a node's address (….snode)"),
        ] as [(String, Int, String, String)])
    func whatAClientDoesNotTakeIsNamed(lines: String, line: Int, key: String, words: String) {
        let found = failure { _ = try configuration(lines) }
        #expect(found?.code == .configuration)
        #expect(found?.problem?.origin == .file("f.toml", line: line))
        #expect(found?.problem?.key == key)
        #expect(found?.message.hasPrefix("f.toml:\(line): \(key): ") == true, "\(found?.message ?? "")")
        #expect(found?.message.contains(words) == true, "\(found?.message ?? "")")
    }

    @Test(
        "L3: a proxy listens on the loopback alone, unless it is said that other machines may reach it",
        arguments: ["0.0.0.0:1080", "192.0.2.1:0", "[::]:1080", "[2001:db8::1]:1080"])
    func l3OtherMachinesDoNotReachAProxyByMistake(_ address: String) {
        let found = failure { _ = try configuration("socks = ['\(address)']") }
        #expect(found?.message.contains("the proxy listens on loopback only") == true, "\(found?.message ?? "")")
    }

    @Test func anotherMachineReachesAProxyOnlyWhereThatIsAllowed() throws {
        let found = try configuration("socks = ['0.0.0.0:1080', '192.0.2.1:0']\nallow_remote = true")
        #expect(found.socks.map(\.description) == ["0.0.0.0:1080", "192.0.2.1:0"])
    }

    @Test func portsThatAreChosenLaterAreNotTheSame() throws {
        #expect(try configuration("socks = ['127.0.0.1:0', '127.0.0.1:0']\ndns = ['127.0.0.1:0']").socks.count == 2)
    }

    /// A socket that systemd did not pass on is reported when it is opened.
    @Test func aSocketOfSystemdsHasItsName() throws {
        #expect(try configuration("socks = ['systemd:apps']").socks == [.inherited("apps", descriptor: -1)])
    }

    @Test func anOptionIsNamedAsItWasGiven() throws {
        var settings = Settings()
        settings.take(option: "--socks", "client.socks", list: ["0.0.0.0:1"])
        let found = failure { _ = try ClientConfiguration(settings) }
        #expect(found?.code == .usage)
        #expect(found?.message.hasPrefix("--socks: the proxy listens on loopback only") == true)
    }
}
