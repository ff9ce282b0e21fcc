internal import Glibc
package import Settings

/// Why a command ends without success: one line for the user, and the status of the process.
package struct Failure: Error {
    /// The exit statuses, those of `sysexits.h`.
    package enum Code: Int32 {
        /// The command line is wrong.
        case usage = 64
        /// A file's contents are wrong.
        case data = 65
        /// A file is missing.
        case noInput = 66
        /// An address, a socket or the network cannot be used.
        case unavailable = 69
        /// A mistake of this program.
        case software = 70
        /// The system refused something.
        case system = 71
        /// A file or folder cannot be made.
        case cannotCreate = 73
        /// A read or write failed.
        case io = 74
        /// In use by another process.
        case inUse = 75
        /// Permissions are wrong.
        case permission = 77
        /// The configuration makes no sense.
        case configuration = 78
    }

    package var code: Code
    /// What is wrong, where, and what to do; without a full stop, and never more than one line.
    package var message: String

    /// The setting that is at fault, where one is.
    package var problem: SettingProblem?

    package init(_ code: Code, _ message: String, problem: SettingProblem? = nil) {
        self.code = code
        self.message = message
        self.problem = problem
    }

    /// The same with another remedy.
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
