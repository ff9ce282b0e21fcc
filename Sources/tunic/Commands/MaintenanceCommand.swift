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
            with the next epoch: stop the relay when 'tunic status' shows no streams. A node may do so once in three days, for at most 12 h and at most its credit (defaults).
            """)

    @OptionGroup var target: ControlOptions

    @Argument(
        help: ArgumentHelp("How long, such as 90m, 2h or 1h30m; 'end' ends it before its time.", valueName: "time"),
        transform: maintenanceTime)
    var time: UInt32

    func run() throws {
        let report = try target.process().maintain(seconds: time)
        let text =
            time == 0
            ? "done, in block \(report.height ?? 0): the node is active, and is used again from the next epoch on"
            : "done, in block \(report.height ?? 0): the node is out for \(durationText(Double(time))), and is active again by "
                + "itself; stop the relay when no streams are left ('tunic status')"
        print(target.json ? json(report) : text)
    }
}

/// A time on the command line: numbers followed by h, m or s; `end` is 0.
func maintenanceTime(_ text: String) throws -> UInt32 {
    if text == "end" { return 0 }
    var total: UInt64 = 0
    var number = ""
    for character in text {
        if character.isASCII, character.isNumber {
            number.append(character)
        } else {
            let unit: UInt64? = ["h": 3_600, "m": 60, "s": 1][character]
            guard let unit, let value = UInt32(number) else { total = .max; break }
            total += UInt64(value) * unit
            number = ""
        }
    }
    guard number.isEmpty, let seconds = UInt32(exactly: total), seconds > 0 else {
        throw ValidationError("'\(text)' is not a time; write it like 90m, 2h or 1h30m, or 'end'")
    }
    return seconds
}
