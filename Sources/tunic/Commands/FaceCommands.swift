internal import ArgumentParser
internal import Control
internal import Glibc

/// New paths for new streams.
struct NewPathCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "newpath", abstract: "Begin new streams on new paths; what is open goes on as it is.",
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

/// Reads the configuration again.
struct ReloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload", abstract: "Have a running process read its configuration again, wholly or not at all.",
        discussion: "Example:\n  tunic reload")

    @OptionGroup var target: ControlOptions

    func run() throws {
        let report = try target.ask(.reload, as: Done.self)
        print(target.json ? json(report) : report.done)
    }
}

/// The exits that a client may use.
struct ExitsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "exits", abstract: "Show the exits that a running client may use, those in use first.",
        discussion: "Examples:\n  tunic exits\n  tunic exits --json")

    @OptionGroup var target: ControlOptions

    func run() throws {
        let report = try target.ask(.exits, as: ExitsReport.self)
        if target.json { return print(json(report)) }
        guard !report.exits.isEmpty else { return print("no exit is known that may be used") }
        var table = Table()
        table.add("exit", "country", "works", "build", "sessions")
        for exit in report.exits {
            table.add(
                exit.node, exit.country ?? "-", exit.up.map { $0 ? "yes" : "no" } ?? "not tried",
                exit.buildTime.map { "\(numberText($0, decimals: 1)) ms" } ?? "-", "\(exit.sessions)")
        }
        print(table.lines.joined(separator: "\n"))
    }
}

/// What apps have open.
struct StreamsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "streams", abstract: "Show what apps have open, by isolation key under a random label.",
        discussion: "Examples:\n  tunic streams\n  tunic streams --json")

    @OptionGroup var target: ControlOptions

    func run() throws {
        let report = try target.ask(.streams, as: StreamsReport.self)
        print(target.json ? json(report) : Self.table(report).joined(separator: "\n"))
    }

    /// The lines of the table.
    static func table(_ report: StreamsReport) -> [String] {
        guard !report.keys.isEmpty else { return ["no app has anything open"] }
        var table = Table()
        table.add("key", "streams", "exit", "round trip", "received", "sent")
        for key in report.keys {
            table.add(
                key.label, "\(key.streams)", PathsCommand.shortened(key.exit),
                key.roundTrip.map { "\(numberText($0, decimals: 1)) ms" } ?? "-", byteText(key.bytesIn),
                byteText(key.bytesOut))
        }
        return table.lines
    }
}

/// Where the status page is.
struct WebCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "web", abstract: "Print the address of a running process' status page, or open the page.",
        discussion: """
            Examples:
              tunic web --open
              tunic web

            The address holds a secret. Every user of this machine can read the command line of every program: give no program \
            the address there. --open gives xdg-open a file that leads the browser to the page and that only this user can \
            read, web.html in $XDG_RUNTIME_DIR/tunic or else in $XDG_STATE_HOME/tunic or ~/.local/state/tunic.
            """)

    @Flag(help: "Open the page in the browser, with xdg-open.")
    var open = false
    @OptionGroup var target: ControlOptions

    func run() throws {
        let report = try target.ask(.web, as: WebReport.self)
        guard open else { return print(target.json ? json(report) : report.url) }
        let folder =
            try Files.environment("XDG_RUNTIME_DIR").flatMap { $0.hasPrefix("/") ? "\($0)/tunic" : nil }
            ?? ClientFolder.defaultPath()
        try Files.makeFolders(folder)
        let path = "\(folder)/web.html"
        try Files.replace(path, Array(Self.redirect(to: report.url).utf8), mode: 0o600)
        try CommandReplacement.run(["xdg-open", path])
    }

    /// A page that leads to `url`, which holds only digits, letters and `:/?=.[]`.
    static func redirect(to url: String) -> String {
        """
        <!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer"><title>Tunic</title>
        <meta http-equiv="refresh" content="0; url=\(url)"><a href="\(url)">status page</a>

        """
    }
}

/// The figures for Prometheus.
struct MetricsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "metrics", abstract: "Print a running process' figures in the text format of OpenMetrics.",
        discussion: """
            Examples:
              tunic metrics
              tunic metrics --textfile > new.prom && mv new.prom /var/lib/prometheus/node-exporter/tunic.prom
            """)

    @Flag(help: "Print them as node_exporter's textfile collector reads them (Prometheus' text format 0.0.4).")
    var textfile = false
    @OptionGroup var target: ControlOptions

    func run() throws {
        let report = try target.ask(.metrics, as: MetricsReport.self)
        if target.json { return print(json(report)) }
        print(textfile ? OpenMetrics.textfile(report.metrics) : report.metrics, terminator: "")
    }
}

/// A live view.
struct TopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top", abstract: "Watch a running process: throughput, paths, streams; q ends it.",
        discussion: "Examples:\n  tunic top\n  tunic top --once")

    @Flag(help: "Print one view and end.")
    var once = false
    @OptionGroup var target: ControlOptions

    func run() throws {
        let isTerminal = isatty(STDOUT_FILENO) == 1
        if target.json {
            return print(json(try target.ask(.status, as: StatusReport.self)))
        }
        if once || !isTerminal { return print(try view(bold: isTerminal, size: nil)) }
        // Such a terminal can only be written on, line by line.
        let isPlain = ["", "dumb"].contains(Files.environment("TERM") ?? "")
        // One that never answered is a mistake; one that does not answer any more may be about to start again.
        _ = try target.ask(.status, as: StatusReport.self)
        let keys = TerminalKeys()
        repeat {
            let text = try viewOrReason(bold: !isPlain, size: isPlain ? nil : Self.terminalSize)
            // What is wider than the terminal is cut there.
            guard printNow(isPlain ? text + "\n" : "\u{1b}[?7l\u{1b}[H\u{1b}[2J\(text)\u{1b}[?7h") else { return }
        } while keys.wait(milliseconds: 1_000)
    }

    /// How many lines and columns the terminal has.
    private static var terminalSize: (lines: Int, columns: Int)? {
        var size = winsize()
        guard unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_row > 0, size.ws_col > 0 else {
            return nil
        }
        return (Int(size.ws_row), Int(size.ws_col))
    }

    /// The view, or why there is none while the process does not answer.
    private func viewOrReason(bold: Bool, size: (lines: Int, columns: Int)?) throws -> String {
        do {
            return try view(bold: bold, size: size)
        } catch let failure as Failure where failure.code == .unavailable {
            let lines = ["the process does not answer; waiting for it (q ends)", failure.message]
            guard let size else { return lines.joined(separator: "\n") }
            return Self.cut(lines: lines, to: size.columns).joined(separator: "\n")
        }
    }

    /// `lines` with what is beyond `columns` cut off, and a mark for it; codes for the terminal take no room.
    private static func cut(lines: [String], to columns: Int) -> [String] {
        lines.map { line in
            var shown = ""
            var count = 0
            var isCode = false
            for character in line {
                if character == "\u{1b}" { isCode = true }
                if !isCode {
                    count += 1
                    guard count < columns || line.count <= columns else { return shown + "…\u{1b}[0m" }
                }
                shown.append(character)
                if isCode, character.isLetter { isCode = false }
            }
            return shown
        }
    }

    /// As many of `lines` as `limit` has room for, the last of them the number of the rest.
    private static func fit(_ lines: [String], _ limit: Int) -> [String] {
        guard lines.count > limit else { return lines }
        return lines.prefix(max(0, limit - 1)) + ["… \(lines.count - max(0, limit - 1)) more"]
    }

    /// The lines, as many and as long as a terminal of this size has room for.
    private func view(bold: Bool, size: (lines: Int, columns: Int)?) throws -> String {
        let isNarrow = size.map { $0.columns < 100 } ?? false
        let status = try target.ask(.status, as: StatusReport.self)
        func title(_ text: String) -> String { bold ? "\u{1b}[1m\(text)\u{1b}[0m" : text }
        var lines: [String] = []
        for report in [status] + (status.others ?? []) {
            let state = report.ready ? "ready" : report.problem ?? "starting"
            lines.append(
                title("\(report.role.rawValue) \(report.version)")
                    + "  \(state)  running for \(durationText(report.uptime))")
            lines.append(
                "in \(byteText(report.rate.bytesIn))/s  out \(byteText(report.rate.bytesOut))/s  "
                    + "links \(report.links)  paths \(report.paths)  sessions \(report.sessions)  "
                    + "streams \(report.streams)  nodes \(report.descriptors)")
            guard report.role == .client else { continue }
            let paths = PathsCommand.text(try target.ask(.paths, as: PathsReport.self), isNarrow: isNarrow)
                .split(separator: "\n").map(String.init)
            let streams = StreamsCommand.table(try target.ask(.streams, as: StreamsReport.self))
            // Two titles, two empty lines and a relay's own two.
            let room = max(4, (size?.lines ?? .max) - lines.count - 4 - 2 * (status.others?.count ?? 0))
            let forStreams = min(streams.count, max(room / 2, room - paths.count))
            lines += ["", title("paths")] + Self.fit(paths, room - forStreams)
            lines += ["", title("streams")] + Self.fit(streams, forStreams)
        }
        guard let size else { return lines.joined(separator: "\n") }
        return Self.cut(lines: Array(lines.prefix(size.lines)), to: size.columns).joined(separator: "\n")
    }
}
