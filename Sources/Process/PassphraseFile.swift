internal import Glibc
package import OnionCrypto

/// Reads a passphrase from a file or descriptor, never from the value of an argument or variable, which other processes
/// can read.
package enum PassphraseFile {
    /// The longest passphrase, in bytes.
    private static let limit = 1024
    /// The name of the systemd credential.
    private static let credentialName = "passphrase"

    /// The passphrase in `source`: the path of a file that no other user can read, or `fd:` and the number of an open
    /// descriptor.
    ///
    /// Without a source, the systemd credential is used if there is one. A final line end is removed.
    package static func read(_ source: String?) throws(Failure) -> Passphrase? {
        if let source {
            guard source.hasPrefix("fd:") else { return try read(path: source, isCredential: false) }
            guard let number = Int32(source.dropFirst(3)), number >= 0 else {
                throw Failure(.usage, "'\(source)' names no descriptor; write fd: and its number, such as fd:3")
            }
            return try read(number, source)
        }
        guard let folder = Files.environment("CREDENTIALS_DIRECTORY") else { return nil }
        let path = "\(folder)/\(credentialName)"
        return Files.exists(path) ? try read(path: path, isCredential: true) : nil
    }

    private static func read(path: String, isCredential: Bool) throws(Failure) -> Passphrase {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure.of(errno, "cannot read", path) }
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else { throw Failure.of(errno, "cannot read", path) }
        // A pipe connects two processes; a file remains.
        if status.st_mode & S_IFMT == S_IFREG, status.st_mode & (isCredential ? 0o037 : 0o077) != 0 {
            let mode = String(status.st_mode & 0o777, radix: 8)
            throw Failure(.permission, "\(path) is open to other users (mode \(mode)); run: chmod 600 \(path)")
        }
        return try read(descriptor, path)
    }

    private static func read(_ descriptor: Int32, _ source: String) throws(Failure) -> Passphrase {
        // Allocated with its full size, so that growing leaves no copy.
        var bytes = [UInt8](repeating: 0, count: limit + 2)
        defer { wipe(&bytes) }
        var count = 0
        while count < bytes.count {
            let read = unsafe bytes.withUnsafeMutableBytes { buffer in
                unsafe Glibc.read(descriptor, buffer.baseAddress! + count, buffer.count - count)
            }
            if read < 0, errno == EINTR { continue }
            guard read >= 0 else { throw Failure.of(errno, "cannot read the passphrase from", source) }
            guard read > 0 else { break }
            count += read
        }
        if count > 0, bytes[count - 1] == UInt8(ascii: "\n") { count -= 1 }
        if count > 0, bytes[count - 1] == UInt8(ascii: "\r") { count -= 1 }
        guard count > 0 else { throw Failure(.data, "\(source) holds no passphrase") }
        guard count <= limit else {
            throw Failure(.data, "\(source) holds more than a passphrase: \(limit) bytes are allowed")
        }
        var own = Array(bytes[..<count])
        return Passphrase(wiping: &own)
    }
}
