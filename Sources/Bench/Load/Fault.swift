/// Why a stream or a measurement gives no figure.
public struct Fault: Error, Hashable, Sendable, CustomStringConvertible {
    /// What went wrong, in the words of the report.
    public enum Kind: String, Codable, Sendable, CaseIterable {
        /// The proxy did not accept, or answered with a SOCKS error.
        case refused
        /// The stream ended before its time.
        case closed
        /// A stream did not open, or an answer or the next byte did not come, in time.
        case stalled
        /// A byte was lost, repeated, altered, or came from another stream.
        case corrupt
    }

    /// What went wrong.
    public var kind: Kind
    /// Where or how, without a full stop.
    public var detail: String

    /// A fault of this kind.
    public init(_ kind: Kind, _ detail: String) {
        self.kind = kind
        self.detail = detail
    }

    /// Kind and detail in one line.
    public var description: String { "\(kind.rawValue) (\(detail))" }
}

/// The faults of one measurement.
public struct Faults: Error, Equatable, Sendable, CustomStringConvertible {
    /// How many streams had a fault of each kind.
    public private(set) var counts: [Fault.Kind: Int] = [:]
    /// The detail of the first one.
    public private(set) var detail = ""

    /// No fault.
    public init() {}

    /// One fault.
    public init(_ fault: Fault) { add(fault) }

    /// How many there are.
    public var count: Int { counts.values.reduce(0, +) }

    /// Whether there is none.
    public var isEmpty: Bool { counts.isEmpty }

    /// Counts one more.
    public mutating func add(_ fault: Fault) {
        if counts.isEmpty { detail = fault.detail }
        counts[fault.kind, default: 0] += 1
    }

    /// How many of each kind, and the detail of the first one.
    public var description: String {
        let kinds = Fault.Kind.allCases.compactMap { kind in counts[kind].map { "\($0) \(kind.rawValue)" } }
        return "\(kinds.joined(separator: ", ")) (\(detail))"
    }
}
