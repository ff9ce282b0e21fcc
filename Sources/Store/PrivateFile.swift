internal import Glibc
internal import OnionCrypto

/// Whole files that are read at once, checked by what their descriptor says, so that no file takes the place of a
/// checked one.
enum PrivateFile {
    /// Who else may use a file.
    enum Access {
        /// Nobody: it belongs to this user, and no other one may read or write it.
        case own
        /// A group may read it: a systemd credential, which may belong to root. Only this user can enter its folder.
        case credential
        /// Anybody, also by way of a link: its contents are signed.
        case anyone
    }

    /// The bytes of the file at `path`, at most `limit`; a longer file is damaged.
    ///
    /// They may be secret, so the caller wipes them where they are. Nothing of them is left after an error.
    static func read(_ path: String, for access: Access, limit: Int) throws(StoreError) -> [UInt8] {
        let follows: Int32 =
            switch access {
            case .own, .credential: O_NOFOLLOW
            case .anyone: 0
            }
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | follows)
        guard descriptor >= 0 else { throw .failed(path, "open", errno) }
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw .failed(path, "stat", errno) }
        switch access {
        case .own: try checkPrivate(status, path, isFolder: false)
        case .credential:
            guard status.st_mode & 0o037 == 0 else {
                throw .tooOpen(path: path, mode: UInt32(status.st_mode), isFolder: false)
            }
        case .anyone: break
        }
        guard status.st_mode & S_IFMT == S_IFREG else { throw .wrongKind(path: path, expected: "a plain file") }
        guard status.st_size <= limit else { throw .damaged(path: path) }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        var done = 0
        while done < bytes.count {
            let count = unsafe bytes.withUnsafeMutableBytes {
                unsafe Glibc.read(descriptor, $0.baseAddress! + done, $0.count - done)
            }
            guard count > 0 else {
                wipe(&bytes)
                throw .damaged(path: path)
            }
            done += count
        }
        return bytes
    }
}
