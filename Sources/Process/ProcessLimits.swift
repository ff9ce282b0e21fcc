internal import CShims
internal import Glibc
internal import OnionCrypto

/// The limits that a client or relay process sets for itself before it handles a secret.
package enum ProcessLimits {
    /// Initializes and tests libsodium, forbids memory dumps, and raises the limit of descriptors as far as the system
    /// permits.
    package static func apply() throws(Failure) {
        Sodium.initialize()
        guard PrimeOrderGroup.isSound else {
            throw Failure(
                .system, "libsodium takes keys outside of the prime-order group: install its newest version")
        }
        let forbidden = shim_forbid_dumps()
        guard forbidden == 0 else {
            throw Failure(.system, "cannot forbid memory dumps of this process: \(errorText(-forbidden))")
        }
        raiseDescriptorLimit()
        signal(SIGPIPE, SIG_IGN)
        // Exceeding the file size limit (RLIMIT_FSIZE), even with the log, makes the write fail and does not end the
        // process.
        signal(SIGXFSZ, SIG_IGN)
        // Other daemons print statistics on these signals; a user who tries that must not end a node.
        for number in [SIGUSR1, SIGUSR2] { signal(number, SIG_IGN) }
    }

    /// How many descriptors the process may have.
    package static var descriptors: Int {
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return .max }
        return Int(clamping: limit.rlim_cur)
    }

    /// Raises the soft limit of open descriptors to the hard one; it stays if that is refused.
    private static func raiseDescriptorLimit() {
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}
