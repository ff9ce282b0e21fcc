/// The reason why a stream or a measurement gives no figure.
public struct LoadFault: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kind of a fault.
    ///
    /// The report prints its raw value.
    public enum Kind: String, Codable, Sendable, CaseIterable {
        /// The proxy refused the connection, or answered with a SOCKS error.
        case refused
        /// The stream ended too early.
        case closed
        /// A stream did not open in time, or an answer or the next byte did not arrive in time.
        case stalled
        /// A byte was lost, repeated or altered, or came from another stream.
        case corrupt
    }

    /// The kind of fault.
    public var kind: Kind
    /// The place or the cause, without a full stop.
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
public struct LoadFaults: Error, Equatable, Sendable, CustomStringConvertible {
    /// The number of streams with a fault of each kind.
    public private(set) var counts: [LoadFault.Kind: Int] = [:]
    /// The detail of the first fault.
    public private(set) var detail = ""

    /// No fault.
    public init() {}

    /// One fault.
    public init(_ fault: LoadFault) { add(fault) }

    /// The number of faults.
    public var count: Int { counts.values.reduce(0, +) }

    /// Whether there are no faults.
    public var isEmpty: Bool { counts.isEmpty }

    /// Counts one more fault.
    public mutating func add(_ fault: LoadFault) {
        if counts.isEmpty { detail = fault.detail }
        counts[fault.kind, default: 0] += 1
    }

    /// The number of faults of each kind, and the detail of the first.
    public var description: String {
        let kinds = LoadFault.Kind.allCases.compactMap { kind in counts[kind].map { "\($0) \(kind.rawValue)" } }
        return "\(kinds.joined(separator: ", ")) (\(detail))"
    }
}
