import Control
import EventLoop
import OnionCrypto
import Process
import Provision
import Settings
import Testing
import Wire

@testable import Daemon

/// A folder of a test's own, which goes with it.
final class Folder {
    let path: String

    init() throws { path = try Files.makeTemporaryFolder("tunic-test") }
    deinit { Files.remove(path) }

    /// Writes a file, in place of one that is there; its path.
    @discardableResult
    func write(_ name: String, _ text: String) throws -> String {
        let file = "\(path)/\(name)"
        try Files.write(file, text)
        return file
    }
}

/// The settings of a file with these lines, or what is wrong with them.
func settings(_ lines: String) throws(SettingProblems) -> Settings {
    var settings = Settings()
    try settings.take(file: "f.toml", lines)
    return settings
}

/// The settings of `file` alone: a variable of whoever runs the tests has no part in them.
func source(_ file: String) -> SettingsSource { SettingsSource(file: file, environment: [:]) }

/// What `attempt` throws; a test fails where that is nothing.
func failure(_ attempt: () throws -> Void, _ place: SourceLocation = #_sourceLocation) -> Failure? {
    #expect(throws: Failure.self, sourceLocation: place) { try attempt() }
}

/// The tests that make whole processes, one after the other: the log is one for all.
@Suite(.serialized) enum ProcessTests {}

/// A process with a client and a relay that has everything open and is not begun: the node is in a network of its own.
final class Running {
    let folder: Folder
    let network: NetworkFolder
    let process: RoleProcess
    private let file: String

    /// What a configuration of the process has before its tables.
    private let top: String

    /// A process by `lines`, which have the tables [client] and [relay].
    init(nodes: Int = 1, _ lines: String) throws {
        folder = try Folder()
        let addresses = (0..<nodes).map { [Endpoint(address: IPAddress(v4: 0x7f00_0001), port: UInt16(7_100 + $0))] }
        network = try NetworkFolder(
            in: "\(folder.path)/net",
            .init(name: "test", addresses: addresses, exits: 0, packetSize: 1_392, isLocal: true))
        top = "network = \"\(network.file)\"\ndata = \"\(network.nodes[0].folder)\"\n"
        file = try folder.write("tunic.toml", top + lines)
        let source = DaemonTests.source(file)
        let settings = try source.load()
        LogSink.shared.apply(settings)
        process = try RoleProcess(source, settings, try ProcessSettings(settings, roles: []), parent: nil)
    }

    /// Has the process read these lines.
    func reload(_ lines: String) throws(Failure) -> String {
        try Files.write(file, top + lines)
        return try process.loggedReload()
    }

    /// The client and the relay of the process.
    var client: ClientRole? { process.roles.lazy.compactMap { $0 as? ClientRole }.first }
    var relay: RelayRole? { process.roles.lazy.compactMap { $0 as? RelayRole }.first }

    /// The report that the process answers a command with; nil for any other answer.
    func answer<Report>(_ command: ControlCommand, _ argument: String? = nil, as type: Report.Type) -> Report? {
        switch process.answer(command, argument) {
        case .status(let report): report as? Report
        case .paths(let report): report as? Report
        case .report(let report): report as? Report
        case .refusal, .later: nil
        }
    }

    /// Why the process does not answer a command; nil where it does.
    func refusal(_ command: ControlCommand, _ argument: String? = nil) -> String? {
        if case .refusal(let reason) = process.answer(command, argument) { reason } else { nil }
    }

    /// Ends all of it.
    func end() {
        var left = process.roles.count
        for role in process.roles { role.close { left -= 1 } }
        while left > 0 { process.loop.runOnce(waiting: true) }
        process.close()
    }
}
