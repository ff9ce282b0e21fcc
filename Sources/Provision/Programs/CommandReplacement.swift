internal import CShims
internal import Glibc
package import Process

/// Replaces this process with another program.
package enum CommandReplacement {
    /// Runs `command` in place of this process, to be killed when `parent` ends; returns only by throwing.
    package static func run(_ command: [String], parent: Int32) throws(Failure) -> Never {
        let arguments = command.first == "--" ? Array(command.dropFirst()) : command
        guard let program = arguments.first else { throw Failure(.usage, "no command to run") }
        let result = shim_die_with_parent()
        guard result == 0 else { throw Failure(.system, "cannot follow the parent process: \(errorText(-result))") }
        guard getppid() == parent else { throw Failure(.unavailable, "the parent process has ended") }
        replace(by: program, arguments)
    }

    /// Runs `command` in place of this process with the variables of `environment`, as `NAME=value`; returns only by
    /// throwing.
    static func run(_ command: [String], environment: [String]) throws(Failure) -> Never {
        guard let program = command.first else { throw Failure(.usage, "no program to run") }
        clearenv()
        for variable in environment {
            guard let equals = variable.firstIndex(of: "=") else { continue }
            unsafe setenv(String(variable[..<equals]), String(variable[variable.index(after: equals)...]), 1)
        }
        replace(by: program, command)
    }

    /// Runs `command` in place of this process; returns only by throwing.
    static func run(_ command: [String]) throws(Failure) -> Never {
        guard let program = command.first else { throw Failure(.usage, "no program to run") }
        replace(by: program, command)
    }

    private static func replace(by program: String, _ arguments: [String]) -> Never {
        // An ignored signal would stay ignored in the new program.
        signal(SIGPIPE, SIG_DFL)
        var strings = unsafe arguments.map { unsafe strdup($0) } + [nil]
        unsafe execvp(program, &strings)
        let error = errno
        complain("cannot run \(program): \(errorText(error))")
        exit(error == ENOENT ? 127 : 126)
    }
}
