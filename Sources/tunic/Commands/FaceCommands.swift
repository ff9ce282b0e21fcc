internal import ArgumentParser
internal import Control
internal import Process
internal import Provision

/// Makes new paths for new streams.
struct NewPathCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "newpath", abstract: "Begin new streams on new paths; open streams are not affected.",
        discussion: """
            Examples:
              tunic newpath
              tunic newpath kmrtb   (one isolation key, by its label in 'tunic streams')
            """)

    @Argument(help: "The label of an isolation key (default: all).")
    var key: String?
    @OptionGroup var target: ControlOptions

    func run() throws {
        let report = try target.ask(.newpath, key, as: Done.self)
        print(target.json ? json(report) : report.done)
    }
}

/// Makes a process read its configuration again.
struct ReloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload",
        abstract: "Make a running process apply its configuration again, completely or not at all.",
        discussion: "Example:\n  tunic reload")

    @OptionGroup var target: ControlOptions

    func run() throws {
        let report = try target.ask(.reload, as: Done.self)
        print(target.json ? json(report) : report.done)
    }
}

/// Lists the exits that a client may use.
struct ExitsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exits", abstract: "Show the exits that a running client may use, those in use first.",
        discussion: "Examples:\n  tunic exits\n  tunic exits --json")

    @OptionGroup var target: ControlOptions

    func run() throws {
        let report = try target.ask(.exits, as: ExitsReport.self)
        print(target.json ? json(report) : report.text)
    }
}

/// Lists the open streams of apps.
struct StreamsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "streams", abstract: "Show the open streams of apps, by isolation key under a random label.",
        discussion: "Examples:\n  tunic streams\n  tunic streams --json")

    @OptionGroup var target: ControlOptions

    func run() throws {
        let report = try target.ask(.streams, as: StreamsReport.self)
        print(target.json ? json(report) : report.lines.joined(separator: "\n"))
    }
}

/// Prints the address of the status page.
struct WebCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "web", abstract: "Print the address of a running process' status page, or open the page.",
        discussion: """
            Examples:
              tunic web --open
              tunic web

            The address holds a secret, and every user of this machine can read the command line of every program: do not \
            pass the address to a program there. --open gives xdg-open a file that leads the browser to the page and that only this user can \
            read, web.html in $XDG_RUNTIME_DIR/tunic or else in $XDG_STATE_HOME/tunic or ~/.local/state/tunic.
            """)

    @Flag(help: "Open the page in the browser, with xdg-open.")
    var open = false
    @OptionGroup var target: ControlOptions

    func run() throws {
        let report = try target.ask(.web, as: WebReport.self)
        guard open else { return print(target.json ? json(report) : report.url) }
        try PageOpening.open(report.url)
    }
}

/// Prints the metrics for Prometheus.
struct MetricsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "metrics", abstract: "Print a running process' metrics in the text format of OpenMetrics.",
        discussion: """
            Examples:
              tunic metrics
              tunic metrics --textfile > new.prom && mv new.prom /var/lib/prometheus/node-exporter/tunic.prom
            """)

    @Flag(help: "Print them for node_exporter's textfile collector (Prometheus' text format 0.0.4).")
    var textfile = false
    @OptionGroup var target: ControlOptions

    func run() throws {
        let report = try target.ask(.metrics, as: MetricsReport.self)
        if target.json { return print(json(report)) }
        print(textfile ? OpenMetrics.textfile(report.metrics) : report.metrics, terminator: "")
    }
}
