internal import CShims
internal import Glibc
internal import Settings

/// Why a command ends without success: one line for the user, and the status of the process.
struct Failure: Error {
    /// The exit statuses, those of `sysexits.h`.
    enum Code: Int32 {
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

    var code: Code
    /// What is wrong, where, and what to do; without a full stop, and never more than one line.
    var message: String

    /// The setting that is at fault, where one is.
    var problem: SettingProblem?

    init(_ code: Code, _ message: String, problem: SettingProblem? = nil) {
        self.code = code
        self.message = message
        self.problem = problem
    }

    /// The same with another remedy.
    func replacing(_ option: String, by other: String) -> Failure {
        Failure(code, message.replacing(option, with: other))
    }

    /// The failure of a system call on `path`.
    static func of(_ number: Int32, _ action: String, _ path: String) -> Failure {
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

/// The system's words for an error number.
func errorText(_ number: Int32) -> String {
    var buffer = [CChar](repeating: 0, count: 256)
    guard unsafe strerror_r(number, &buffer, buffer.count) == 0 else { return "error \(number)" }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// Writes one line to standard error.
func complain(_ message: String) {
    writeAll("tunic: \(message)\n", to: STDERR_FILENO)
}

/// Prints `text` and hands it to the kernel at once; false when standard output does not take it, which ``Tunic/start()`` says.
@discardableResult
func printNow(_ text: String, terminator: String = "\n") -> Bool {
    print(text, terminator: terminator)
    return shim_flush_output() == 0
}

/// Writes `text` to a descriptor; gives up silently when nobody reads it.
func writeAll(_ text: String, to descriptor: Int32) {
    var text = text
    text.withUTF8 { buffer in
        var written = 0
        while written < buffer.count {
            let count = unsafe write(descriptor, buffer.baseAddress! + written, buffer.count - written)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return }
            written += count
        }
    }
}
