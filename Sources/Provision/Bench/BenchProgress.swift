internal import Bench
internal import Glibc
internal import Process

/// The progress of a run on standard error: on a terminal a line that changes, otherwise only permanent lines.
final class BenchProgress: BenchmarkWatcher {
    private let isTerminal = isatty(STDERR_FILENO) == 1

    /// Shows a line in place of the last one.
    func show(_ text: String) {
        if isTerminal { writeAll("\r\u{1b}[K\(text)", to: STDERR_FILENO) }
    }

    /// Shows a permanent line.
    func keep(_ text: String) {
        clear()
        writeAll("\(text)\n", to: STDERR_FILENO)
    }

    func progressed(_ line: String) { show(line) }
    func measured(_ line: String) { keep(line) }

    /// Removes the line that changes.
    func clear() {
        if isTerminal { writeAll("\r\u{1b}[K", to: STDERR_FILENO) }
    }
}
