internal import Glibc

/// Reads the network file.
enum FileBytes {
    /// The file's bytes, at most `limit`.
    static func read(_ path: String, limit: Int) throws(TunicError) -> [UInt8] {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw .networkFile("\(path): \(Self.text(errno))") }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var failure: Int32 = 0
        while bytes.count <= limit {
            var chunk = [UInt8](repeating: 0, count: 64 << 10)
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            if count < 0 { failure = errno }
            guard count > 0 else { break }
            bytes += chunk.prefix(count)
        }
        guard failure == 0 else { throw .networkFile("\(path): \(Self.text(failure))") }
        guard bytes.count <= limit else { throw .networkFile("\(path) is longer than \(limit) bytes") }
        return bytes
    }

    /// The absolute path, because the program may change its working folder.
    static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let folder = unsafe getcwd(nil, 0) else { return path }
        defer { unsafe free(folder) }
        return unsafe String(cString: folder) + "/" + path
    }

    private static func text(_ code: Int32) -> String { unsafe String(cString: strerror(code)) }
}
