internal import FoundationEssentials

/// Lines of JSON on a control socket.
enum ControlLine {
    /// The line of `value` with its newline; fields in alphabetical order.
    static func encode(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Reports have only strings, integers and finite numbers; a failure here would be a bug.
        guard let data = try? encoder.encode(value) else {
            return encode(ControlRefusal(error: "the report cannot be written"))
        }
        return [UInt8](data) + [newline]
    }

    /// The value in a line without its newline; nil if it is not one of that type.
    static func decode<Value: Decodable>(_ type: Value.Type, from line: some Collection<UInt8>) -> Value? {
        try? JSONDecoder().decode(type, from: Data(line))
    }

    static let newline = UInt8(ascii: "\n")

    /// The line of `reply` with its newline; nil if the reply comes later.
    static func encode(_ reply: ControlReply) -> [UInt8]? {
        switch reply {
        case .status(let report): encode(report)
        case .paths(let report): encode(report)
        case .report(let report): encode(report)
        case .refusal(let reason): encode(ControlRefusal(error: reason))
        case .later: nil
        }
    }

    /// The answer to a request line of a connection with `rights`.
    static func answer(
        to line: [UInt8], from provider: (ControlCommand, String?) -> ControlReply, _ rights: ControlRights = .all,
        _ group: ControlGroup? = nil
    ) -> Answer {
        guard let request = decode(ControlRequest.self, from: line) else {
            return .line(
                encode(ControlRefusal(error: "a request is one line of JSON like {\"command\":\"status\"}")))
        }
        guard let command = ControlCommand(rawValue: request.command) else {
            let known = ControlCommand.allCases.map(\.rawValue).joined(separator: ", ")
            return .line(encode(ControlRefusal(error: "unknown command; the commands are: \(known)")))
        }
        if let refusal = rights.refusal(of: command, group: group) {
            return .line(encode(ControlRefusal(error: refusal, denied: true)))
        }
        switch provider(command, request.argument) {
        case .later(let deferred):
            guard let reply = deferred.reply, let line = encode(reply) else { return .later(deferred) }
            return .line(line)
        case let reply: return .line(encode(reply) ?? [])
        }
    }

    /// The answer to a request line.
    enum Answer {
        /// This line.
        case line([UInt8])
        /// A line that is not known yet.
        case later(DeferredReply)
    }
}

/// The value in the JSON `text`; nil for anything else.
public func decoded<Value: Decodable>(_ text: [UInt8], as type: Value.Type) -> Value? {
    ControlLine.decode(type, from: text)
}

/// A report's JSON, for printing it.
public func json(_ report: some Encodable) -> String {
    String(decoding: ControlLine.encode(report).dropLast(), as: UTF8.self)
}

/// Splits bytes into lines; holds at most one incomplete line.
struct LineBuffer {
    private var bytes: [UInt8] = []
    /// The longest line in bytes, without its newline.
    let limit: Int

    /// Whether a line was longer than allowed; no further lines are returned then.
    private(set) var isOverlong = false

    init(limit: Int) { self.limit = limit }

    /// Whether no bytes are held.
    var isEmpty: Bool { bytes.isEmpty }

    mutating func append(_ span: RawSpan) {
        guard !isOverlong else { return }
        // Further requests may wait here while one is answered, but at most as much as one line.
        guard bytes.count + span.byteCount <= 2 * limit + 2 else { return overflow() }
        unsafe span.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
        let end = bytes.firstIndex(of: ControlLine.newline) ?? bytes.endIndex
        if end > limit { overflow() }
    }

    private mutating func overflow() {
        isOverlong = true
        bytes = []
    }

    /// Removes and returns the next complete line, without its newline.
    mutating func next() -> [UInt8]? {
        guard let end = bytes.firstIndex(of: ControlLine.newline) else { return nil }
        let line = Array(bytes[..<end])
        bytes.removeSubrange(...end)
        if (bytes.firstIndex(of: ControlLine.newline) ?? bytes.endIndex) > limit { overflow() }
        return line
    }
}
