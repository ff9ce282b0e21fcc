package import EventLoop
internal import FoundationEssentials
package import Glibc
internal import Store

/// Makes the process's event loop.
package func makeLoop() throws(Failure) -> Loop {
    do {
        return try Loop()
    } catch {
        throw Failure(.system, "cannot make an event loop: \(error)")
    }
}

/// Whole files and folders; failures name the path.
package enum Files {
    /// The contents of a file of at most `limit` bytes.
    package static func read(_ path: String, limit: Int) throws(Failure) -> [UInt8] {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure.of(errno, "cannot read", path) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw Failure.of(errno, "cannot read", path) }
            guard count > 0 else { return bytes }
            guard bytes.count + count <= limit else {
                throw Failure(.data, "\(path) is too large: \(limit) bytes are allowed")
            }
            bytes += chunk[..<count]
        }
    }

    /// The contents of a file of this user that no other user may read; nil if there is no such file of at most `limit`
    /// bytes.
    package static func readPrivate(_ path: String, limit: Int) -> [UInt8]? {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var found = stat()
        guard unsafe fstat(descriptor, &found) == 0, found.st_mode & S_IFMT == S_IFREG, found.st_uid == geteuid(),
            found.st_mode & 0o077 == 0, found.st_size <= off_t(limit)
        else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(found.st_size))
        let count = unsafe Glibc.read(descriptor, &bytes, bytes.count)
        return count == bytes.count ? bytes : nil
    }

    /// Creates a file that must not exist; it is on disk when this returns, and removed after an error.
    ///
    /// `isExact` sets `mode` whatever the umask is.
    package static func writeNew(
        _ path: String, _ bytes: [UInt8], mode: mode_t, isExact: Bool = false
    ) throws(Failure) {
        do throws(AtomicFile.Fault) {
            try AtomicFile.create(path, bytes, .init(mode: mode, isExact: isExact))
        } catch {
            if error.errno == EEXIST { throw Failure(.cannotCreate, "\(path) is there already; it is not overwritten") }
            throw failure(error, path)
        }
    }

    /// Writes a file in place of one that is there, which stays whole when that fails.
    ///
    /// It is on disk when this returns, unless not `isForced`.
    package static func replace(
        _ path: String, _ bytes: [UInt8], mode: mode_t, isExact: Bool = false, isForced: Bool = true
    ) throws(Failure) {
        do throws(AtomicFile.Fault) {
            try AtomicFile.write(
                bytes, to: path, .replaced, .init(mode: mode, isExact: isExact, isForced: isForced))
        } catch {
            throw failure(error, path)
        }
    }

    private static func failure(_ fault: AtomicFile.Fault, _ path: String) -> Failure {
        Failure.of(fault.errno, fault.call == "open" ? "cannot make" : "cannot write", path)
    }

    /// Throws unless a file can be written at `path`, possibly in place of an existing one.
    package static func checkWritable(_ path: String) throws(Failure) {
        guard !isFolder(path) else { throw Failure(.cannotCreate, "\(path) is a folder, not a file to write") }
        let isThere = exists(path)
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
        guard unsafe access(isThere ? path : folder, W_OK) != 0 else { return }
        throw Failure.of(errno, "cannot write", path)
    }

    /// Writes a file, possibly in place of an existing one; `-` is standard output.
    package static func write(_ path: String, _ text: String) throws(Failure) {
        if path == "-" { return print(text, terminator: "") }
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw Failure.of(errno, "cannot make", path) }
        let error = AtomicFile.writeAll(Array(text.utf8), to: descriptor)
        close(descriptor)
        guard error == 0 else { throw Failure.of(error, "cannot write", path) }
    }

    /// Makes a folder for our user only; whether it was made rather than there.
    @discardableResult
    package static func makeFolder(_ path: String) throws(Failure) -> Bool {
        if unsafe mkdir(path, 0o700) == 0 { return true }
        let error = errno
        guard error == EEXIST, isFolder(path) else { throw Failure.of(error, "cannot make the folder", path) }
        return false
    }

    /// Creates a folder and its missing parents.
    package static func makeFolders(_ path: String) throws(Failure) {
        guard !isFolder(path) else { return }
        if let slash = path.lastIndex(of: "/"), slash != path.startIndex { try makeFolders(String(path[..<slash])) }
        try makeFolder(path)
    }

    /// Whether a folder is at `path`.
    package static func isFolder(_ path: String) -> Bool {
        var found = stat()
        return unsafe stat(path, &found) == 0 && found.st_mode & S_IFMT == S_IFDIR
    }

    /// Whether this user may look up entries in the folder at `path`.
    package static func maySearch(_ path: String) -> Bool { unsafe access(path, X_OK) == 0 }

    /// Whether there is a file system object at `path`.
    package static func exists(_ path: String) -> Bool {
        var found = stat()
        return unsafe lstat(path, &found) == 0
    }

    /// Removes a file, or a folder with its contents, as far as possible.
    package static func remove(_ path: String) { try? FileManager.default.removeItem(atPath: path) }

    /// The last line of a text file that is not empty, from its last 4 kB.
    package static func lastLine(_ path: String) -> String? {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        let size = lseek(descriptor, 0, SEEK_END)
        var chunk = [UInt8](repeating: 0, count: 4096)
        let count = unsafe pread(descriptor, &chunk, chunk.count, max(0, size - off_t(chunk.count)))
        guard count > 0 else { return nil }
        return String(decoding: chunk[..<count], as: UTF8.self).split(separator: "\n").last.map(String.init)
    }

    /// Creates a new folder for this user only in the system's folder for temporary files.
    package static func makeTemporaryFolder(_ name: String) throws(Failure) -> String {
        var template = Array("\(environment("TMPDIR") ?? "/tmp")/\(name)-XXXXXX".utf8CString)
        let made = unsafe mkdtemp(&template) != nil
        let error = errno
        let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard made else { throw Failure.of(error, "cannot make a temporary folder", path) }
        return path
    }

    /// The absolute path.
    package static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/") else { return path }
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        guard let folder = unsafe getcwd(&buffer, buffer.count) else { return path }
        return unsafe String(cString: folder) + "/" + path
    }

    /// The path with its links resolved, if it exists; else the path itself.
    package static func resolved(_ path: String) -> String {
        guard let found = unsafe realpath(path, nil) else { return path }
        defer { unsafe free(found) }
        return unsafe String(cString: found)
    }

    /// The first folder in an environment variable of systemd.
    package static func firstFolder(_ variable: String) -> String? {
        environment(variable)?.split(separator: ":").first.map(String.init)
    }

    /// The value of an environment variable; nil if it is not set or empty.
    package static func environment(_ name: String) -> String? {
        guard let value = unsafe getenv(name) else { return nil }
        let text = unsafe String(cString: value)
        return text.isEmpty ? nil : text
    }
}

/// The folder with a client's persistent data.
package enum ClientFolder {
    /// The name of the control socket in the data folder of a client or relay.
    package static let socketName = "control.sock"

    /// `$XDG_STATE_HOME/tunic`, or `~/.local/state/tunic`.
    package static func defaultPath() throws(Failure) -> String {
        if let state = Files.environment("XDG_STATE_HOME"), state.hasPrefix("/") { return "\(state)/tunic" }
        if let home = Files.environment("HOME"), home.hasPrefix("/") { return "\(home)/.local/state/tunic" }
        throw Failure(.configuration, "neither XDG_STATE_HOME nor HOME names a folder; give one with --data")
    }
}
