import CLibUV
import CShims
import Glibc

/// The file of a unix socket on which this process listens.
struct UnixSocketPath {
    let path: String
    /// The device and inode of the file as made: another file at the same path is not removed.
    private let device: dev_t
    private let node: ino_t

    /// The most bytes of a path in `sockaddr_un`, without its terminator.
    private static let maximumLength = 107

    /// Throws unless the path fits a `sockaddr_un`.
    static func check(_ path: String) throws(UVError) {
        guard !path.isEmpty, path.utf8.count <= maximumLength, !path.utf8.contains(0) else {
            throw UVError(code: UV_ENAMETOOLONG.rawValue, call: "bind")
        }
    }

    /// Binds a socket to `path` that only this user can use, in place of one without a listener.
    ///
    /// The mode is set on the socket before it has a name, so that it is never open to others, and no process-wide
    /// umask changes. Members of `group` can use it too, after the file's group has been set.
    static func bind(_ path: String, group: gid_t? = nil) throws(UVError) -> (descriptor: Int32, path: UnixSocketPath) {
        try check(path)
        guard isFree(path) else { throw UVError(code: UV_EADDRINUSE.rawValue, call: "bind") }
        if status(path) != nil { unsafe unlink(path) }
        let descriptor = try UVError.check(shim_socket(AF_UNIX, Int32(SOCK_STREAM.rawValue)), "socket")
        do throws(UVError) {
            try UVError.check(fchmod(descriptor, 0o600) == 0 ? 0 : -errno, "fchmod")
            let bound = unsafe withAddress(path) { unsafe Glibc.bind(descriptor, $0, $1) == 0 ? 0 : -errno }
            try UVError.check(bound, "bind")
        } catch {
            Glibc.close(descriptor)
            throw error
        }
        guard let made = status(path), made.st_mode & 0o177 == 0 else {
            unsafe unlink(path)
            Glibc.close(descriptor)
            throw UVError(code: UV_EACCES.rawValue, call: "bind")
        }
        // A service may not change owners (SystemCallFilter=~@privileged), and need not if the group is already its
        // own.
        if let group, unsafe (made.st_gid != group && lchown(path, uid_t.max, group) != 0) || chmod(path, 0o660) != 0 {
            let error = errno
            unsafe unlink(path)
            Glibc.close(descriptor)
            throw UVError(code: -error, call: "chown")
        }
        return (descriptor, UnixSocketPath(path: path, device: made.st_dev, node: made.st_ino))
    }

    /// Whether nothing is at `path`, or a socket of this user without a listener.
    static func isFree(_ path: String) -> Bool {
        guard let existing = status(path) else { return true }
        return existing.st_mode & S_IFMT == S_IFSOCK && existing.st_uid == geteuid() && !isAnswering(path)
    }

    /// Removes the file if it is still the one that was made.
    func remove() {
        guard let found = Self.status(path), found.st_dev == device, found.st_ino == node else { return }
        unsafe unlink(path)
    }

    private static func status(_ path: String) -> stat? {
        var result = stat()
        return unsafe lstat(path, &result) == 0 ? result : nil
    }

    /// Whether a process listens on the socket; one whose backlog is full counts.
    private static func isAnswering(_ path: String) -> Bool {
        let descriptor = shim_socket(AF_UNIX, Int32(SOCK_STREAM.rawValue))
        guard descriptor >= 0 else { return true }
        defer { Glibc.close(descriptor) }
        let error = unsafe withAddress(path) { unsafe connect(descriptor, $0, $1) == 0 ? 0 : errno }
        return error != ECONNREFUSED && error != ENOENT
    }

    private static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
        return unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
