internal import ArgumentParser
internal import Control
internal import Glibc
internal import Process

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
        // Such a terminal can only print lines.
        let isPlain = ["", "dumb"].contains(Files.environment("TERM") ?? "")
        // A process that never answered is a mistake; one that has stopped answering may be restarting.
        _ = try target.ask(.status, as: StatusReport.self)
        let keys = TerminalKeys()
        repeat {
            let text = try viewOrReason(bold: !isPlain, size: isPlain ? nil : Self.terminalSize)
            // Lines wider than the terminal are cut there.
            guard printNow(isPlain ? text + "\n" : "\u{1b}[?7l\u{1b}[H\u{1b}[2J\(text)\u{1b}[?7h") else { return }
        } while keys.wait(milliseconds: 1_000)
    }

    /// The number of lines and columns of the terminal.
    private static var terminalSize: (lines: Int, columns: Int)? {
        var size = winsize()
        guard unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_row > 0, size.ws_col > 0 else {
            return nil
        }
        return (Int(size.ws_row), Int(size.ws_col))
    }

    /// The view, or the reason why the process does not answer.
    private func viewOrReason(bold: Bool, size: (lines: Int, columns: Int)?) throws -> String {
        do {
            return try view(bold: bold, size: size)
        } catch let failure as Failure where failure.code == .unavailable {
            let lines = ["the process does not answer; waiting for it (q ends)", failure.message]
            guard let size else { return lines.joined(separator: "\n") }
            return Self.cut(lines: lines, to: size.columns).joined(separator: "\n")
        }
    }

    /// `lines` cut after `columns`, with a mark; control codes take no room.
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

    /// As many of `lines` as fit in `limit`; the last one then has the number of the rest.
    private static func fit(_ lines: [String], _ limit: Int) -> [String] {
        guard lines.count > limit else { return lines }
        return lines.prefix(max(0, limit - 1)) + ["… \(lines.count - max(0, limit - 1)) more"]
    }

    /// The lines, limited to a terminal of this size.
    private func view(bold: Bool, size: (lines: Int, columns: Int)?) throws -> String {
        let isNarrow = size.map { $0.columns < 100 } ?? false
        let status = try target.ask(.status, as: StatusReport.self)
        func title(_ text: String) -> String { bold ? "\u{1b}[1m\(text)\u{1b}[0m" : text }
        var lines: [String] = []
        for report in [status] + (status.others ?? []) {
            let shown = report.topLines
            lines += [title(shown.title) + "  \(shown.state)", shown.figures]
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
