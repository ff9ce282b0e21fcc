import Control
import Directory
import Logging
import Process
import Settings
import Testing
import Wire

@testable import Client
@testable import Daemon
@testable import Relay

/// The configuration with which the processes of these tests start.
private let base = """
    [client]
    socks = ["127.0.0.1:0"]
    [relay]
    listen = ["127.0.0.1:0"]
    exit = true
    [web]
    listen = "off"
    [log]
    level = "critical"
    """

/// A change of keys, and a check that a running process has applied it.
private struct Applied: Sendable {
    /// The values of the changed keys; each replaces the key's line in ``base`` or is added to the key's table.
    let lines: [String: String]
    /// Whether the process has applied the change.
    let isApplied: @Sendable (Running) -> Bool

    init(_ lines: [String: String], _ isApplied: @escaping @Sendable (Running) -> Bool) {
        self.lines = lines
        self.isApplied = isApplied
    }

    /// A configuration with the lines of ``base`` and this change.
    var file: String {
        var text: [String] = []
        var left = lines
        for line in base.split(separator: "\n").map(String.init) {
            let table = text.last { $0.hasPrefix("[") }?.dropFirst().dropLast() ?? ""
            let key = "\(table).\(line.prefix { $0 != " " })"
            text.append(left.removeValue(forKey: key).map { "\(line.prefix { $0 != " " }) = \($0)" } ?? line)
            guard line.hasPrefix("[") else { continue }
            let own = "\(line.dropFirst().dropLast())."
            for (key, value) in left where key.hasPrefix(own) && !base.contains("\n\(key.dropFirst(own.count)) = ") {
                text.append("\(key.dropFirst(own.count)) = \(value)")
                left[key] = nil
            }
        }
        for (key, value) in left {
            let parts = key.split(separator: ".").map(String.init)
            guard parts.count == 2 else {
                text.insert("\(key) = \(value)", at: 0)
                continue
            }
            text += ["[\(parts[0])]", "\(parts[1]) = \(value)"]
        }
        return text.joined(separator: "\n")
    }
}

/// For each reloadable key, a value and a check that the process has applied it.
private let reloadable: [String: Applied] = [
    "client.socks": Applied(["client.socks": "[\"[::1]:0,names-only\"]"]) {
        let status = $0.client?.client.status
        return status?.socks.map { "\($0)".hasPrefix("[::1]:") } == [true] && status?.socksFlags == [["names-only"]]
    },
    "client.allow_remote": Applied(["client.socks": "[\"0.0.0.0:0\"]", "client.allow_remote": "true"]) {
        $0.client?.client.status.socks.first?.description.hasPrefix("0.0.0.0:") == true
    },
    "client.spare_paths": Applied(["client.spare_paths": "5"]) { $0.client?.client.configuration.sparePaths == 5 },
    "client.exits": Applied(["client.exits": "[\"country:SE\"]"]) {
        $0.client?.client.configuration.exits.countries == ["SE"]
    },
    "client.avoid": Applied(["client.avoid": "[\"country:NO\"]"]) {
        $0.client?.client.configuration.avoided.countries == ["NO"]
    },
    "client.exit_check": Applied(["client.exit_check": "7"]) {
        $0.client?.client.configuration.exitCheck == .seconds(7) && $0.client?.client.exitWatch.interval == .seconds(7)
    },
    "relay.exit_policy": Applied(["relay.exit_policy": "[\"reject *:80\"]"]) {
        $0.relay?.relay.exit?.policy.rules == [ExitRule("reject *:80")].compactMap(\.self)
    },
    "relay.rate": Applied(["relay.rate": "200000"]) { $0.relay?.relay.configuration.rate == 200_000 },
    "relay.burst": Applied(["relay.burst": "9000"]) { $0.relay?.relay.configuration.burst == 9_000 },
    "relay.monthly_limit": Applied(["relay.monthly_limit": "\"2 TB\""]) {
        $0.relay?.account.limit == 2_000_000_000_000
    },
    "relay.month_start": Applied(["relay.month_start": "15"]) { $0.relay?.account.firstDay == 15 },
    "relay.store_quota": Applied(["relay.store_quota": "\"1 GB\""]) {
        $0.relay?.relay.configuration.storeQuota == 1_000_000_000
    },
    "relay.store_recovery": Applied(["relay.store_recovery": "\"1 MB\""]) {
        $0.relay?.relay.configuration.storeRecovery == 1_000_000
    },
    "relay.drain": Applied(["relay.drain": "5"]) { $0.relay?.relay.configuration.drainLimit == .seconds(5) },
    "web.listen": Applied(["web.listen": "\"127.0.0.1:0\""]) { $0.process.face?.url != nil },
    "metrics.listen": Applied(["metrics.listen": "\"127.0.0.1:0\""]) { $0.process.face?.figures != nil },
    "log.level": Applied(["log.level": "\"error\""]) { _ in LogSink.shared.level == .error },
    "log.format": Applied(["log.format": "\"json\""]) { _ in LogSink.shared.isJSON },
]

/// A value for each key that is not reloadable.
private let fixed: [String: String] = [
    "network": "\"/other.json\"", "data": "\"/other\"", "control": "\"/other.sock\"", "control_group": "\"root\"",
    "client.dns": "[\"127.0.0.1:0\"]", "client.udp_idle": "9", "client.hops": "2", "client.path_use": "60",
    "relay.listen": "[\"127.0.0.1:9\"]", "relay.public": "[\"127.0.0.1:9\"]", "relay.key": "\"/k\"",
    "relay.passphrase_file": "\"/p\"", "relay.oxend": "\"http://127.0.0.1:1\"", "relay.authority": "\"/a\"",
    "relay.authority_passphrase_file": "\"/p\"", "relay.registry": "\"/r\"", "relay.exit": "false",
    "relay.exit_allow": "[\"10.0.0.0/8\"]", "relay.exit_resolver": "[\"192.0.2.53\"]", "relay.country": "\"SE\"",
    "relay.workers": "2",
]

extension ProcessTests {
    @Suite struct ReloadTests {
        /// A key that the catalogue calls reloadable but no role applies cannot be in the table above.
        @Test func theCatalogueAndTheseTestsNameTheSameKeys() {
            let keys = SettingsCatalog.keys
            #expect(Set(reloadable.keys) == Set(keys.filter(\.isReloadable).map(\.path)))
            #expect(Set(fixed.keys) == Set(keys.filter { !$0.isReloadable }.map(\.path)))
        }

        @Test func eachReloadableKeyIsAppliedAndTakenBack() throws {
            let running = try Running(base)
            defer { running.end() }
            for (key, change) in reloadable.sorted(by: { $0.key < $1.key }) {
                #expect(!change.isApplied(running), "\(key) before")
                let done = try running.reload(change.file)
                #expect(done.contains(key), "\(done)")
                #expect(change.isApplied(running), "\(key)")
                _ = try running.reload(base)
                #expect(!change.isApplied(running), "\(key) taken back")
            }
            #expect(try running.reload(base) == "The configuration was read again; nothing has changed.")
        }

        @Test("P13: a reload that changes a set of nodes says so, and applies it")
        func setsAreApplied() throws {
            func file(_ country: String) -> String {
                Applied(["client.avoid": "[\"set:out\"]"]) { _ in true }.file
                    + "\n[client.sets]\nout = [\"country:\(country)\"]"
            }
            let running = try Running(file("SE"))
            defer { running.end() }
            #expect(running.client?.client.configuration.avoided.countries == ["SE"])
            #expect(
                try running.reload(file("NO")) == "The configuration was read again; changed: client.sets.")
            #expect(running.client?.client.configuration.avoided.countries == ["NO"])
            #expect(try running.reload(file("NO")) == "The configuration was read again; nothing has changed.")
        }

        @Test func eachOtherKeyIsRefusedAndNothingChanges() throws {
            let running = try Running(base)
            defer { running.end() }
            for (key, value) in fixed.sorted(by: { $0.key < $1.key }) {
                // The network file and the data folder are already at the top of the file.
                guard key != "network", key != "data" else { continue }
                let found = failure {
                    _ = try running.reload(Applied([key: value, "relay.drain": "5"]) { _ in true }.file)
                }
                #expect(found?.code == .configuration)
                #expect(
                    found?.message.contains("\(key) cannot change while the process runs, so nothing was changed")
                        == true)
                #expect(running.relay?.relay.configuration.drainLimit == .seconds(30), "\(key)")
            }
        }

        @Test("K10: a change that cannot be prepared leaves everything as it was")
        func aReloadIsAllOrNothing() throws {
            let running = try Running(base)
            defer { running.end() }
            let before = try #require(running.client?.client.status.socks)
            let other = try Running(base)
            defer { other.end() }
            let taken = try #require(other.client?.client.status.socks.first)
            for (lines, words) in [
                (
                    ["client.socks": "[\"127.0.0.1:0\", \"\(taken)\"]", "web.listen": "\"127.0.0.1:0\""],
                    "\(taken) is in use"
                ),
                (["client.exits": "[\"set:none\"]", "web.listen": "\"127.0.0.1:0\""], "there is no set 'none'"),
                (["relay.rate": "5", "metrics.listen": "\"127.0.0.1:0\""], "links need at least 100 kB"),
                (["client.hop": "5"], "did you mean client.hops?"),
            ] as [([String: String], String)] {
                let found = failure { _ = try running.reload(Applied(lines) { _ in true }.file) }
                #expect(found?.message.contains(words) == true, "\(found?.message ?? "")")
                #expect(running.client?.client.status.socks == before)
                #expect(running.process.face?.url == nil && running.process.face?.figures == nil)
                #expect(running.process.settings.changes(to: try settings(base)).allSatisfy { $0.table.isEmpty })
            }
        }

        @Test func withoutLeaveNoOtherMachineReachesTheProxy() throws {
            let running = try Running(base)
            defer { running.end() }
            let found = failure {
                _ = try running.reload(Applied(["client.socks": "[\"0.0.0.0:0\"]"]) { _ in true }.file)
            }
            #expect(found?.message.contains("allow_remote = true, permits other addresses") == true)
        }

        @Test func theControlSocketSaysWhatCameOfIt() throws {
            let running = try Running(base)
            defer { running.end() }
            #expect(running.answer(.reload, as: Done.self)?.done.contains("nothing has changed") == true)
            #expect(failure { _ = try running.reload("[client]\nhops = 9") } != nil)
            #expect(running.refusal(.reload)?.contains("client.hops") == true)
        }
    }
}
