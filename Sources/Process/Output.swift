internal import CShims
internal import Glibc

/// The system's message for an error number.
package func errorText(_ number: Int32) -> String {
    var buffer = [CChar](repeating: 0, count: 256)
    guard unsafe strerror_r(number, &buffer, buffer.count) == 0 else { return "error \(number)" }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// Writes one line to standard error.
package func complain(_ message: String) {
    writeAll("tunic: \(message)\n", to: STDERR_FILENO)
}

/// Prints `text` and flushes it; false if standard output does not accept it.
@discardableResult
package func printNow(_ text: String, terminator: String = "\n") -> Bool {
    print(text, terminator: terminator)
    return shim_flush_output() == 0
}

/// Writes `text` to a descriptor; gives up silently if its other end is closed.
package func writeAll(_ text: String, to descriptor: Int32) {
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
