internal import Bench
internal import Control
package import Process
internal import Wire

extension BenchRun {
    /// Runs what the options ask for, prints the report and writes its files; returns the exit status.
    package static func run(_ choices: BenchChoices) throws(Failure) -> Int32 {
        try ProcessLimits.apply()
        if choices.sink {
            let place = choices.listen ?? Endpoint(address: IPAddress(v4: 0x7f00_0001), port: 0)
            try BenchSink.run(at: place) { printNow($0) }
            return 0
        }
        var older: BenchReport?
        if let file = choices.compare { older = try report(in: file) }
        let outputs = [choices.json, choices.html].compactMap(\.self)
        let (report, status) = try BenchRun(choices.plan, choices.subject, outputs: outputs).run()
        if let report { try show(report, older, choices) }
        return status
    }

    /// Prints the report and writes its files.
    private static func show(
        _ report: BenchReport, _ older: BenchReport?, _ choices: BenchChoices
    ) throws(Failure) {
        if choices.json != "-", choices.html != "-" {
            print(report.text(older: older, file: choices.compare ?? "-"))
        }
        if let file = choices.json { try Files.write(file, json(report) + "\n") }
        if let file = choices.html { try Files.write(file, report.page) }
        if let text = report.faultText { complain(text) }
    }
}
