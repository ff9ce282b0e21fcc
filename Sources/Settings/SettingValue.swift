/// A problem with a value, without its place.
public struct SettingFault: Error, Sendable, Equatable, CustomStringConvertible {
    /// The fault and the remedy, without a full stop.
    public let message: String

    /// A fault with this message.
    public init(_ message: String) { self.message = message }

    /// The message.
    public var description: String { message }
}

/// A value of its key's kind.
enum SettingValue: Sendable, Equatable {
    case text(String)
    case list([String])
    /// Whole numbers, seconds and bytes.
    case integer(Int64)
    case boolean(Bool)

    /// Reads a value from a file's entry.
    init(_ entry: TomlDocument.Entry, _ kind: SettingKey.Kind) throws(SettingFault) {
        switch (kind, entry.value) {
        case (.text, .string(let text)): self = .text(text)
        case (.list, .string(let text)): self = .list([text])
        case (.list, .array):
            var list: [String] = []
            for element in entry.elements {
                guard case .string(let text) = element else { throw Self.wrongKind(kind) }
                list.append(text)
            }
            self = .list(list)
        case (.boolean, .boolean(let flag)): self = .boolean(flag)
        case (.integer(let range), .integer(let number)), (.duration(let range), .integer(let number)):
            self = .integer(try Self.checked(number, range, kind))
        case (.bytes, .integer(let number)): self = .integer(try Self.checked(number, 0...(.max), kind))
        case (.duration, .string(let text)), (.bytes, .string(let text)), (.choice, .string(let text)):
            try self.init(text, kind)
        default: throw Self.wrongKind(kind)
        }
    }

    /// Reads a value from the text of an environment variable or an option.
    init(_ text: String, _ kind: SettingKey.Kind) throws(SettingFault) {
        switch kind {
        case .text: self = .text(text)
        case .list:
            self = .list(
                text.split(separator: ";").map { String($0.trimmed) }.filter { !$0.isEmpty })
        case .boolean:
            switch text.lowercased() {
            case "true", "yes", "on", "1": self = .boolean(true)
            case "false", "no", "off", "0": self = .boolean(false)
            default: throw Self.wrongKind(kind)
            }
        case .integer(let range):
            guard let number = Int64(text) else { throw Self.wrongKind(kind) }
            self = .integer(try Self.checked(number, range, kind))
        case .duration(let range):
            let units: [(String, Double)] = [("s", 1), ("m", 60), ("min", 60), ("h", 3_600), ("d", 86_400), ("", 1)]
            guard let number = Self.quantity(text, units) else { throw Self.wrongKind(kind) }
            self = .integer(try Self.checked(number, range, kind))
        case .bytes:
            let units: [(String, Double)] = [
                ("kb", 1e3), ("mb", 1e6), ("gb", 1e9), ("tb", 1e12), ("b", 1), ("kib", 1024), ("mib", 1_048_576),
                ("gib", 1_073_741_824), ("tib", 1_099_511_627_776), ("", 1),
            ]
            guard let number = Self.quantity(text, units) else { throw Self.wrongKind(kind) }
            self = .integer(number)
        case .choice(let words):
            guard words.contains(text) else { throw Self.wrongKind(kind) }
            self = .text(text)
        }
    }

    private static func checked(
        _ number: Int64, _ range: ClosedRange<Int64>, _ kind: SettingKey.Kind
    ) throws(SettingFault) -> Int64 {
        guard range.contains(number) else {
            let unit = if case .duration = kind { " seconds" } else { "" }
            let most = range.upperBound == .max ? " or more" : " to \(range.upperBound)"
            throw SettingFault("\(number) is out of range; use \(range.lowerBound)\(most)\(unit)")
        }
        return number
    }

    private static func wrongKind(_ kind: SettingKey.Kind) -> SettingFault {
        let wanted =
            switch kind {
            case .text: "a text in quotes"
            case .list: "a list of texts, such as [\"a\", \"b\"]"
            case .integer(let range) where range.upperBound == .max: "a whole number from \(range.lowerBound)"
            case .integer(let range): "a whole number, \(range.lowerBound) to \(range.upperBound)"
            case .boolean: "true or false"
            case .duration: "a number of seconds, or a text such as \"90s\", \"15m\" or \"12h\""
            case .bytes: "a number of bytes, or a text such as \"500 kB\", \"10 MB\" or \"2 TB\""
            case .choice(let words): "one of " + words.map { "\"\($0)\"" }.joined(separator: ", ")
            }
        return SettingFault("give \(wanted)")
    }

    /// A number that is not negative, with one of the units; nil if it is invalid or too large.
    private static func quantity(_ text: String, _ units: [(name: String, factor: Double)]) -> Int64? {
        let trimmed = text.trimmed
        let digits = trimmed.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        let unit = trimmed.dropFirst(digits.count).trimmed.lowercased()
        guard let number = Double(digits), let factor = units.first(where: { $0.name == unit })?.factor else {
            return nil
        }
        let value = number * factor
        return value.isFinite && value < 9e18 ? Int64(value) : nil
    }
}

extension StringProtocol {
    /// The text without spaces at its ends.
    var trimmed: SubSequence {
        let start = firstIndex { !$0.isWhitespace } ?? endIndex
        let end = self[start...].lastIndex { !$0.isWhitespace }.map { index(after: $0) } ?? start
        return self[start..<end]
    }
}
