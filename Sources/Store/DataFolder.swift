internal import Glibc

/// The folder with all data of one process, locked for as long as this value lives.
///
/// The folder is created with mode 0700 if it is missing (its parents are not); a folder that others can enter is
/// refused. The lock is `flock` on the file `lock`, which also has the id of the holding process. The system releases
/// it when the process dies.
public struct DataFolder: ~Copyable {
    /// The folder, without a slash at the end.
    public let path: String
    private let lock: Int32

    /// Opens and locks the folder at `path`.
    public init(_ path: String) throws(StoreError) {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        if unsafe mkdir(path, 0o700) != 0, errno != EEXIST {
            throw .failed(path, "mkdir", errno)
        }
        try checkPrivate(path, isFolder: true)
        lock = try Self.takeLock(path)
        self.path = path
    }

    deinit {
        // Closing alone would leave the lock with a child that another thread has just forked, until the child's exec.
        _ = flock(lock, LOCK_UN)
        close(lock)
    }

    /// The path of `name` in the folder.
    public borrowing func file(_ name: String) -> String { "\(path)/\(name)" }

    private static func takeLock(_ folder: String) throws(StoreError) -> Int32 {
        let path = "\(folder)/lock"
        let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .failed(path, "open", errno) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let error = errno
            var text = [UInt8](repeating: 0, count: 20)
            let count = unsafe read(descriptor, &text, text.count)
            close(descriptor)
            guard error == EWOULDBLOCK else { throw .failed(path, "flock", error) }
            let digits = text.prefix(max(0, count)).prefix { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
            throw .inUse(folder: folder, process: Int(String(decoding: digits, as: UTF8.self)))
        }
        let text = Array("\(getpid())\n".utf8)
        guard ftruncate(descriptor, 0) == 0, unsafe pwrite(descriptor, text, text.count, 0) == text.count else {
            let error = errno
            close(descriptor)
            throw .failed(path, "write", error)
        }
        return descriptor
    }
}

extension StoreError {
    /// The error of a failed system call; common ones have their own case.
    static func failed(_ path: String, _ call: String, _ error: Int32) -> StoreError {
        switch error {
        case ENOSPC, EDQUOT: .diskFull(path: path)
        case EACCES, EPERM, EROFS: .readOnly(path: path)
        case ENOENT: .missing(path: path)
        case ELOOP: .wrongKind(path: path, expected: "a plain file")
        default: .system(path: path, call: call, errno: error)
        }
    }
}

/// Throws unless `path` is a file or folder of this user that no other user can read, write or enter.
func checkPrivate(_ path: String, isFolder: Bool) throws(StoreError) {
    var status = stat()
    guard unsafe lstat(path, &status) == 0 else { throw .failed(path, "stat", errno) }
    try checkPrivate(status, path, isFolder: isFolder)
}

/// The same for a status that was read before.
func checkPrivate(_ status: stat, _ path: String, isFolder: Bool) throws(StoreError) {
    guard status.st_mode & S_IFMT == (isFolder ? S_IFDIR : S_IFREG) else {
        throw .wrongKind(path: path, expected: isFolder ? "a folder" : "a plain file")
    }
    guard status.st_uid == geteuid() else { throw .notOwned(path: path) }
    guard status.st_mode & 0o077 == 0 else {
        throw .tooOpen(path: path, mode: UInt32(status.st_mode), isFolder: isFolder)
    }
}
