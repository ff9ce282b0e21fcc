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
