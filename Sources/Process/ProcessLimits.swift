internal import CShims
internal import Glibc
internal import OnionCrypto

/// What a process of a client or relay sets for itself before it touches a secret.
package enum ProcessLimits {
    /// Prepares libsodium, forbids memory dumps and takes as many descriptors as the system lets it have.
    package static func apply() throws(Failure) {
        Sodium.initialize()
        let forbidden = shim_forbid_dumps()
        guard forbidden == 0 else {
            throw Failure(.system, "cannot forbid memory dumps of this process: \(errorText(-forbidden))")
        }
        raiseDescriptorLimit()
        signal(SIGPIPE, SIG_IGN)
        // A file at its size limit (RLIMIT_FSIZE), the log even, is an error of the write and not the end.
        signal(SIGXFSZ, SIG_IGN)
        // Others' daemons tell statistics by these; nobody should end a node by asking for them.
        for number in [SIGUSR1, SIGUSR2] { signal(number, SIG_IGN) }
    }

    /// How many descriptors the process may have.
    package static var descriptors: Int {
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return .max }
        return Int(clamping: limit.rlim_cur)
    }

    /// Raises the soft limit of open descriptors to the hard one; the soft one stays where that is refused.
    private static func raiseDescriptorLimit() {
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}
