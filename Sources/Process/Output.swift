internal import CShims
internal import Glibc

/// The system's message for an error number.
package func errorText(_ number: Int32) -> String {
    var buffer = [CChar](repeating: 0, count: 256)
    guard unsafe strerror_r(number, &buffer, buffer.count) == 0 else { return "error \(number)" }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// Writes one line to standard error.
package func complain(_ message: String) { writeAll(complaint(message), to: STDERR_FILENO) }

/// The line that ``complain(_:)`` writes; a message may have texts of others in it, as a network file's.
package func complaint(_ message: String) -> String { "tunic: \(oneLine(message))\n" }

/// At most `limit` characters of `text`; those that have an effect in place of a shape are escaped, as `\u{202e}`.
///
/// Otherwise a text could forge a line, control the terminal, or hide a part of the line or show it in another order
/// (Unicode UAX #9).
package func oneLine(_ text: String, limit: Int = .max) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars.prefix(limit) {
        if hasShape(scalar) {
            result.append(scalar)
        } else {
            result.append(contentsOf: "\\u{\(String(scalar.value, radix: 16))}".unicodeScalars)
        }
    }
    return String(result)
}

/// Whether a character is shown: no control or format character, and no end of a line or paragraph.
private func hasShape(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate, .unassigned: false
    default: true
    }
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
