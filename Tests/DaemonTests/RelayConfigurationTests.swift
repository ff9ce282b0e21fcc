import Directory
import Process
import Relay
import Settings
import Testing
import Wire

@testable import Daemon

/// The configuration of a relay with its own listening address and these lines under [relay].
private func configuration(
    listen: String = "['198.51.100.7:7100']", _ lines: String
) throws -> RelayConfiguration {
    try RelayConfiguration(try settings("[relay]\nlisten = \(listen)\n\(lines)"))
}

@Suite struct RelayConfigurationTests {
    /// The catalogue and the configuration have the same defaults.
    @Test func theDefaultsAreTheConfigurationsOwn() throws {
        let found = try configuration("")
        let own = RelayConfiguration(listen: found.listen)
        #expect(found.listen.map(\.description) == ["198.51.100.7:7100"])
        #expect(found.announced == own.announced)
        #expect(found.isExit == own.isExit)
        #expect(found.exitAllowed == own.exitAllowed)
        #expect(found.exitResolvers == own.exitResolvers)
        #expect(found.registryFile == own.registryFile)
        #expect(found.exitRules == own.exitRules)
        #expect(found.country == own.country)
        #expect(found.workers == own.workers && own.workers == 1)
        #expect(found.rate == own.rate && found.burst == own.burst)
        #expect(found.drainLimit == own.drainLimit)
    }

    @Test func eachSettingHasItsMeaning() throws {
        let found = try configuration(
            listen: "['0.0.0.0:7100', '[::]:7100']",
            """
            public = ["198.51.100.7:7100", "[2001:db8::7]:7100"]
            exit = true
            exit_allow = ["127.0.0.0/8", "fd00::/8"]
            exit_policy = ["reject *:25-26, accept 192.0.2.0/24:443", "reject private:*"]
            exit_resolver = ["192.0.2.53", "[2001:db8::53]:5353"]
            registry = "/etc/tunic/registry"
            country = "se"
            workers = 4
            rate = "1 MB"
            burst = 5000
            drain = "2m"
            """)
        #expect(found.listen.map(\.description) == ["0.0.0.0:7100", "[::]:7100"])
        #expect(found.announced.map(\.description) == ["198.51.100.7:7100", "[2001:db8::7]:7100"])
        #expect(found.isExit)
        #expect(found.exitAllowed == [CIDR("127.0.0.0/8"), CIDR("fd00::/8")].compactMap(\.self))
        #expect(
            found.exitRules
                == ["reject *:25-26", "accept 192.0.2.0/24:443", "reject private:*"].compactMap { ExitRule($0[...]) })
        #expect(found.exitRules.count == 3)
        #expect(found.exitResolvers == ["192.0.2.53", "[2001:db8::53]:5353"])
        #expect(found.registryFile == "/etc/tunic/registry")
        #expect(found.country == "SE")
        #expect(found.workers == 4)
        #expect(found.rate == 1_000_000 && found.burst == 5_000)
        #expect(found.drainLimit == .seconds(120))
    }

    /// Each refusal names the file, the line, the key and the remedy.
    @Test(
        arguments: [
            ("[]", "", 2, "relay.listen", "a relay needs --listen, or 'listen' under [relay]"),
            ("['localhost']", "", 2, "relay.listen", "[::1]:1080, got 'localhost'"),
            ("['1.2.3.4:1', '1.2.3.5:1']", "", 2, "relay.listen", "names two IPv4 addresses; give one of each family"),
            ("['[::1]:1', '[::2]:1']", "", 2, "relay.listen", "names two IPv6 addresses; give one of each family"),
            ("['0.0.0.0:1']", "", 2, "relay.listen", "0.0.0.0:1 is every address of this machine; say with --public"),
            (
                "['0.0.0.0:1']", "public = ['0.0.0.0:1']", 3, "relay.public",
                "is not an address to which others can send"
            ),
            (
                "['0.0.0.0:1']", "public = ['1.2.3.4:0']", 3, "relay.public",
                "is not an address to which others can send"
            ),
            (
                "['0.0.0.0:1']", "public = ['1.2.3.4:1', '1.2.3.5:1']", 3, "relay.public",
                "names two IPv4 addresses; give one of each family"
            ),
            (
                "['0.0.0.0:1']", "public = ['[2001:db8::7]:5']", 3, "relay.public",
                "names [2001:db8::7]:5, but there is no IPv6 address to listen at; add one, such as --listen [::]:5"
            ),
            (
                "['[::]:1']", "public = ['1.2.3.4:5']", 3, "relay.public",
                "there is no IPv4 address to listen at; add one, such as --listen 0.0.0.0:5"
            ),
            (
                "['1.2.3.4:1']", "exit_allow = ['10.0.0.0/33']\nexit = true", 3, "relay.exit_allow",
                "'10.0.0.0/33' is not a range"
            ),
            (
                "['1.2.3.4:1']", "exit_allow = ['10.0.0.0/8']", 3, "relay.exit_allow",
                "only takes effect with --exit or 'exit = true'"
            ),
            (
                "['1.2.3.4:1']", "exit_policy = ['accept *:80, reject *:+1']\nexit = true", 3, "relay.exit_policy",
                "'reject *:+1' is not a rule"
            ),
            (
                "['1.2.3.4:1']", "exit_policy = ['reject *:80']", 3, "relay.exit_policy",
                "only takes effect with --exit or 'exit = true'"
            ),
            (
                "['1.2.3.4:1']", "exit_resolver = ['192.0.2.53']", 3, "relay.exit_resolver",
                "only takes effect with --exit or 'exit = true'"
            ),
            (
                "['1.2.3.4:1']", "exit_resolver = ['ns.example']\nexit = true", 3, "relay.exit_resolver",
                "is not an address of a name server"
            ),
            ("['1.2.3.4:1']", "country = 'Sweden'", 3, "relay.country", "'Sweden' is not a country: use two letters"),
            ("['1.2.3.4:1']", "rate = 99999", 3, "relay.rate", "links need at least 100 kB a second"),
        ] as [(String, String, Int, String, String)])
    func whatARelayDoesNotTakeIsNamed(listen: String, lines: String, line: Int, key: String, words: String) {
        let found = failure { _ = try configuration(listen: listen, lines) }
        #expect(found?.code == .configuration)
        #expect(found?.problem?.origin == .file("f.toml", line: line))
        #expect(found?.problem?.key == key)
        #expect(found?.message.contains(words) == true, "\(found?.message ?? "")")
    }

    @Test func theMostWorkersAreThoseOfARelay() throws {
        for (value, words) in [
            ("0", "0 is out of range; use 1 to 16"), ("17", "17 is out of range; use 1 to 16"),
            ("'all'", "give a whole number, 1 to 16"),
        ] {
            let found = #expect(throws: SettingProblems.self) { _ = try configuration("workers = \(value)") }
            #expect(found.map { "\($0)".contains("f.toml:3: relay.workers: \(words)") } == true)
        }
        #expect(try configuration("workers = \(RelayConfiguration.mostWorkers)").workers == 16)
    }

    @Test func aRateOfZeroIsNoLimitAndTheLeastIsTaken() throws {
        #expect(try configuration("rate = 0").rate == 0)
        #expect(try configuration("rate = 100000").rate == 100_000)
    }
}
