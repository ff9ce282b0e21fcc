internal import CToml

/// The keys of a TOML text, each with its line.
struct TomlDocument {
    /// A plain value, or a kind of value that is not allowed.
    enum Value: Equatable {
        case string(String)
        case integer(Int64)
        case number(Double)
        case boolean(Bool)
        case date
        case array
        case table
    }

    /// One key.
    struct Entry {
        /// Its path, with dots between: `client.hops`.
        let path: String
        let value: Value
        /// The elements of an array.
        var elements: [Value] = []
        /// The line of the key, from 1.
        let line: Int
    }

    /// Why a text is not valid TOML.
    struct Failure: Error {
        let message: String
        let line: Int
    }

    /// The keys in the order of their lines.
    let entries: [Entry]

    init(_ text: String) throws(Failure) {
        let reading = Reading()
        var failure = ctoml_failure()
        var text = text
        let result = text.withUTF8 { bytes in
            let context = unsafe Unmanaged.passUnretained(reading).toOpaque()
            return unsafe bytes.withMemoryRebound(to: CChar.self) { characters in
                unsafe ctoml_read(characters.baseAddress, characters.count, context, entryFound, &failure)
            }
        }
        guard result == 0 else {
            let message = unsafe withUnsafeBytes(of: &failure.message) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            throw Failure(message: message, line: Int(failure.line))
        }
        entries = reading.entries.enumerated()
            .sorted { ($0.element.line, $0.offset) < ($1.element.line, $1.offset) }
            .map(\.element)
    }

    /// The result of a walk so far.
    fileprivate final class Reading {
        var entries: [Entry] = []
    }
}

private func entryFound(_ context: UnsafeMutableRawPointer?, _ entry: UnsafePointer<ctoml_entry>?) {
    guard let context = unsafe context, let found = unsafe entry?.pointee else { return }
    let reading = unsafe Unmanaged<TomlDocument.Reading>.fromOpaque(context).takeUnretainedValue()
    let value: TomlDocument.Value =
        switch Int(unsafe found.kind) {
        case CTOML_STRING: .string(unsafe text(found.text, found.text_length))
        case CTOML_INTEGER: .integer(unsafe found.integer)
        case CTOML_FLOAT: .number(unsafe found.number)
        case CTOML_BOOLEAN: .boolean(unsafe found.integer != 0)
        case CTOML_ARRAY: .array
        case CTOML_TABLE: .table
        default: .date
        }
    if unsafe found.is_element != 0 {
        reading.entries[reading.entries.count - 1].elements.append(value)
    } else {
        reading.entries.append(
            TomlDocument.Entry(
                path: unsafe text(found.path, found.path_length), value: value, line: Int(unsafe found.line)))
    }
}

private func text(_ start: UnsafePointer<CChar>?, _ length: Int) -> String {
    unsafe String(decoding: UnsafeRawBufferPointer(start: start, count: length), as: UTF8.self)
}
