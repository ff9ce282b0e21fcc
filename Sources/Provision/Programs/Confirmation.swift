internal import Glibc
package import Process

/// Asks on a terminal whether to do `what`; returns without asking if there is no terminal.
package func confirm(_ what: String) throws(Failure) {
    guard isatty(STDIN_FILENO) == 1, isatty(STDERR_FILENO) == 1 else { return }
    writeAll("\(what)\nContinue? [y/N] ", to: STDERR_FILENO)
    guard let answer = readLine()?.lowercased(), ["y", "yes"].contains(answer) else {
        throw Failure(.usage, "nothing was done")
    }
}
