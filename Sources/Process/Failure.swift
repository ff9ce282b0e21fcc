internal import Glibc
package import Settings

/// Why a command fails: one line for the user, and the exit status.
package struct Failure: Error {
    /// The exit statuses, those of `sysexits.h`.
    package enum Code: Int32 {
        /// The command line is invalid.
        case usage = 64
        /// A file's contents are invalid.
        case data = 65
        /// A file is missing.
        case noInput = 66
        /// An address, a socket or the network cannot be used.
        case unavailable = 69
        /// An error in this program.
        case software = 70
        /// The system refused an operation.
        case system = 71
        /// A file or folder cannot be created.
        case cannotCreate = 73
        /// A read or write failed.
        case io = 74
        /// Another process uses the resource.
        case inUse = 75
        /// Permissions are missing or too wide.
        case permission = 77
        /// The configuration is invalid.
        case configuration = 78
    }

    package var code: Code
    /// The fault, its place and the remedy, in one line without a full stop.
    package var message: String

    /// The setting at fault, if there is one.
    package var problem: SettingProblem?

    package init(_ code: Code, _ message: String, problem: SettingProblem? = nil) {
        self.code = code
        self.message = message
        self.problem = problem
    }

    /// The same failure with another option as the remedy.
    package func replacing(_ option: String, by other: String) -> Failure {
        Failure(code, message.replacing(option, with: other))
    }

    /// The failure of a system call on `path`.
    package static func of(_ number: Int32, _ action: String, _ path: String) -> Failure {
        let what = "\(action) \(path): \(errorText(number))"
        return switch number {
        case ENOENT, ENOTDIR: Failure(.noInput, "\(what); check the path")
        case EACCES, EPERM: Failure(.permission, "\(what); check the permissions")
        case EROFS: Failure(.permission, "\(what); choose a folder that can be written to")
        case ENOSPC, EDQUOT: Failure(.io, "\(what); free some space")
        case EISDIR: Failure(.system, "\(what); name a file")
        case EIO: Failure(.io, "\(what); check the disk")
        default: Failure(.system, what)
        }
    }
}
