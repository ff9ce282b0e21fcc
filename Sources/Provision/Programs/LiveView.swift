internal import Control
internal import Glibc
package import Process

/// The live view of a running process on standard output, for `tunic top`.
package enum LiveView {
    /// Shows the view every second until the user ends it; once with `once`, or without a terminal.
    package static func run(of target: ControlTarget, once: Bool) throws(Failure) {
        let isTerminal = isatty(STDOUT_FILENO) == 1
        if once || !isTerminal { return print(try view(of: target, isBold: isTerminal, size: nil)) }
        // A dumb terminal can only print lines.
        let isPlain = ["", "dumb"].contains(Files.environment("TERM") ?? "")
        // A process that never answers is a mistake; one that stops answering may be restarting.
        _ = try target.ask(.status, as: StatusReport.self)
        let keys = TerminalKeys()
        repeat {
            let text = try viewOrReason(of: target, isBold: !isPlain, size: isPlain ? nil : terminalSize)
            // The terminal cuts lines that are too wide.
            guard printNow(isPlain ? text + "\n" : "\u{1b}[?7l\u{1b}[H\u{1b}[2J\(text)\u{1b}[?7h") else { return }
        } while keys.wait(milliseconds: 1_000)
    }

    /// The view, or the reason why the process does not answer.
    private static func viewOrReason(
        of target: ControlTarget, isBold: Bool, size: TopView.Size?
    ) throws(Failure) -> String {
        do throws(Failure) {
            return try view(of: target, isBold: isBold, size: size)
        } catch {
            guard error.code == .unavailable else { throw error }
            return TopView.waiting(error.message, size: size)
        }
    }

    private static func view(of target: ControlTarget, isBold: Bool, size: TopView.Size?) throws(Failure) -> String {
        let status = try target.ask(.status, as: StatusReport.self)
        var paths = PathsReport(paths: [])
        var streams = StreamsReport(keys: [])
        if ([status] + (status.others ?? [])).contains(where: { $0.role == .client }) {
            paths = try target.ask(.paths, as: PathsReport.self)
            streams = try target.ask(.streams, as: StreamsReport.self)
        }
        return TopView(status, paths: paths, streams: streams).text(isBold: isBold, size: size)
    }

    private static var terminalSize: TopView.Size? {
        var size = winsize()
        guard unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_row > 0, size.ws_col > 0 else {
            return nil
        }
        return TopView.Size(lines: Int(size.ws_row), columns: Int(size.ws_col))
    }
}
