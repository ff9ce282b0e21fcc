internal import Bench
internal import Glibc
internal import Process

/// What people see on standard error while a run goes on: on a terminal a line that changes, else only what stays.
final class BenchProgress: BenchmarkWatcher {
    private let isTerminal = isatty(STDERR_FILENO) == 1

    /// Shows a line in place of the one before.
    func show(_ text: String) {
        if isTerminal { writeAll("\r\u{1b}[K\(text)", to: STDERR_FILENO) }
    }

    /// Shows a line that stays.
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
