internal import ArgumentParser
internal import Control
internal import Process
internal import Provision
internal import Texts

/// Takes a node out of service for a time.
struct MaintenanceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "maintenance", abstract: "Take this machine's node out of service for a time, without a penalty.",
        discussion: """
            Examples:
              tunic maintenance 2h --control /var/lib/tunic/control.sock
              tunic maintenance end --control /var/lib/tunic/control.sock

            The running relay signs the request. The node earns nothing meanwhile, its credit pays for the time, and it is active again when the time is over. Clients stop choosing it \
            with the next epoch: stop the relay when 'tunic status' shows few paths. A node may do so once in three days, for at most 12 h and at most its credit (defaults).
            """)

    @OptionGroup var target: ControlOptions

    @Argument(
        help: ArgumentHelp("How long, such as 90m, 2h or 1h30m; 'end' ends it before its time.", valueName: "time"),
        transform: maintenanceTime)
    var time: UInt32

    func run() throws {
        let report = try target.process().maintain(seconds: time)
        print(target.json ? json(report) : report.maintenanceText(seconds: time))
    }
}

/// A time on the command line; `end` is 0.
private func maintenanceTime(_ text: String) throws -> UInt32 {
    if text == "end" { return 0 }
    guard let seconds = durationSeconds(text) else {
        throw ValidationError("'\(text)' is not a time; write it like 90m, 2h or 1h30m, or 'end'")
    }
    return seconds
}
