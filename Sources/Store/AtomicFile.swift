internal import Glibc
internal import OnionCrypto

/// Files that are there whole or not at all; used on any thread.
package enum AtomicFile {
    /// A system call that failed, and the number of its error.
    package struct Fault: Error, Equatable {
        package let call: String
        package let errno: Int32

        package init(call: String, errno: Int32) {
            self.call = call
            self.errno = errno
        }
    }

    /// What becomes of a file that has the name already.
    package enum Place {
        /// It stays, and nothing is written (`EEXIST`).
        case free
        /// The new one takes its place, so that at each moment one of both is there.
        case replaced
    }

    /// How a file is written.
    package struct Manner: Sendable {
        /// The file's mode, less what the umask takes from it unless `isExact`.
        var mode: UInt32
        var isExact = false
        /// Whether its bytes are on disk when the call returns.
        var isForced = true

        package init(mode: UInt32, isExact: Bool = false, isForced: Bool = true) {
            self.mode = mode
            self.isExact = isExact
            self.isForced = isForced
        }

        /// On disk, and the owner's alone.
        package static let secret = Manner(mode: 0o600)
    }

    /// Writes `bytes` beside `path`, and gives them the name.
    package static func write(
        _ bytes: [UInt8], to path: String, _ place: Place, _ manner: Manner
    ) throws(Fault) {
        let temporary = "\(path).\(getpid()).\(SecureRandom.u32()).new"
        try create(temporary, bytes, manner)
        switch place {
        case .free:
            let error = unsafe link(temporary, path) == 0 ? 0 : errno
            _ = unsafe unlink(temporary)
            guard error == 0 else { throw Fault(call: "link", errno: error) }
        case .replaced:
            guard unsafe rename(temporary, path) != 0 else { return }
            let error = errno
            _ = unsafe unlink(temporary)
            throw Fault(call: "rename", errno: error)
        }
    }

    /// Makes a file with `bytes` at `path`, where nothing may be; removes it where that fails.
    ///
    /// A power failure may leave a part of it. Unlike ``write(_:to:_:_:)`` it needs no hard links, which some file
    /// systems lack.
    package static func create(_ path: String, _ bytes: [UInt8], _ manner: Manner) throws(Fault) {
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode_t(manner.mode))
        guard descriptor >= 0 else { throw Fault(call: "open", errno: errno) }
        var error = writeAll(bytes, to: descriptor)
        if error == 0, manner.isExact, fchmod(descriptor, mode_t(manner.mode)) != 0 { error = errno }
        if error == 0, manner.isForced, fsync(descriptor) != 0 { error = errno }
        close(descriptor)
        guard error == 0 else {
            _ = unsafe unlink(path)
            throw Fault(call: "write", errno: error)
        }
    }

    /// Writes all bytes; 0, or the number of the error.
    package static func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Int32 {
        var written = 0
        while written < bytes.count {
            let count = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.write(descriptor, $0.baseAddress! + written, $0.count - written)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return count == 0 ? ENOSPC : errno }
            written += count
        }
        return 0
    }
}
