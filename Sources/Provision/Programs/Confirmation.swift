internal import Glibc
package import Process

/// Asks on a terminal whether to do `what`; throws if the user does not agree, or if there is no terminal to ask at.
package func confirm(_ what: String) throws(Failure) {
    guard isatty(STDIN_FILENO) == 1, isatty(STDERR_FILENO) == 1 else {
        throw Failure(.usage, "there is no terminal to ask at; give --yes")
    }
    writeAll("\(what)\nContinue? [y/N] ", to: STDERR_FILENO)
    guard let answer = readLine()?.lowercased(), ["y", "yes"].contains(answer) else {
        throw Failure(.usage, "nothing was done")
    }
}
