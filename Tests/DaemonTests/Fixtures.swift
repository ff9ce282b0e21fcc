import Control
import Directory
import EventLoop
import OnionCrypto
import Process
import Provision
import Settings
import Testing
import Wire

@testable import Daemon

/// A temporary folder, removed with this object.
final class Folder {
    let path: String

    init() throws { path = try Files.makeTemporaryFolder("tunic-test") }
    deinit { Files.remove(path) }

    /// Writes or replaces a file, and returns its path.
    @discardableResult
    func write(_ name: String, _ text: String) throws -> String {
        let file = "\(path)/\(name)"
        try Files.write(file, text)
        return file
    }
}

/// The settings of a file with these lines; throws the problems in them.
func settings(_ lines: String) throws(SettingProblems) -> Settings {
    var settings = Settings()
    try settings.take(file: "f.toml", lines)
    return settings
}

/// The settings of `file` alone, without the variables of the test's environment.
func source(_ file: String) -> SettingsSource { SettingsSource(file: file, environment: [:]) }

/// The failure that `attempt` throws; the test fails if it throws none.
func failure(_ attempt: () throws -> Void, _ place: SourceLocation = #_sourceLocation) -> Failure? {
    #expect(throws: Failure.self, sourceLocation: place) { try attempt() }
}

/// The tests that make whole processes, run in turn because they share one log.
@Suite(.serialized) enum ProcessTests {}

/// A process with an opened client and relay that have not started; the node has a network of its own.
final class Running {
    let folder: Folder
    let network: NetworkFolder
    let process: RoleProcess
    private let file: String

    /// The lines of the process' configuration before its tables.
    private let top: String

    /// A process configured by `lines`, which contain the tables [client] and [relay].
    init(nodes: Int = 1, _ lines: String) throws {
        folder = try Folder()
        let addresses = (0..<nodes).map { [Endpoint(address: IPAddress(v4: 0x7f00_0001), port: UInt16(7_100 + $0))] }
        var plan = NetworkFolder.Plan(
            name: "test", addresses: addresses, exits: 0, packetSize: 1_392, isLocal: true)
        plan.swarms.shards = 64
        network = try NetworkFolder(in: "\(folder.path)/net", plan)
        top = "network = \"\(network.file)\"\ndata = \"\(network.nodes[0].folder)\"\n"
        file = try folder.write("tunic.toml", top + lines)
        let source = DaemonTests.source(file)
        let settings = try source.load()
        LogSink.shared.apply(settings)
        process = try RoleProcess(source, settings, try ProcessSettings(settings, roles: []), parent: nil)
    }

    /// Replaces the lines of the configuration and reloads it.
    func reload(_ lines: String) throws(Failure) -> String {
        try Files.write(file, top + lines)
        return try process.loggedReload()
    }

    /// The client and the relay of the process.
    var client: ClientRole? { process.roles.lazy.compactMap { $0 as? ClientRole }.first }
    var relay: RelayRole? { process.roles.lazy.compactMap { $0 as? RelayRole }.first }

    /// The report with which the process answers a command; nil for any other answer.
    func answer<Report>(_ command: ControlCommand, _ argument: String? = nil, as type: Report.Type) -> Report? {
        switch process.answer(command, argument) {
        case .status(let report): report as? Report
        case .paths(let report): report as? Report
        case .report(let report): report as? Report
        case .refusal, .later: nil
        }
    }

    /// The process' reason for refusing a command; nil if it does not refuse it.
    func refusal(_ command: ControlCommand, _ argument: String? = nil) -> String? {
        if case .refusal(let reason) = process.answer(command, argument) { reason } else { nil }
    }

    /// Closes the roles and the process.
    func end() {
        var left = process.roles.count
        for role in process.roles { role.close { left -= 1 } }
        while left > 0 { process.loop.runOnce(waiting: true) }
        process.close()
    }
}
