internal import Texts
internal import Wire

/// The type of a figure's value.
package protocol FigureValue: Codable, Equatable, Sendable {
    /// The value as the outputs use it.
    var asFigure: FigureContent { get }
    /// The value of `content`; nil if `content` is of another kind.
    init?(figure content: FigureContent)
    /// All values, if there are only a few; else empty.
    static var choices: [String] { get }
}

extension FigureValue {
    package static var choices: [String] { [] }
}

/// A figure's value.
package enum FigureContent: Equatable, Sendable {
    case count(UInt64)
    case number(Double)
    case truth(Bool)
    case text(String)
    /// Counts by reason.
    case reasons([String: UInt64])
    /// Values over time, the newest last.
    case list([Double])
    /// A value for each worker, worker 0 first.
    case each([UInt64])

    /// Whether the value is zero, no, or empty.
    var isZero: Bool {
        switch self {
        case .count(let value): value == 0
        case .number(let value): value == 0
        case .truth(let value): !value
        case .text(let value): value.isEmpty
        case .reasons(let values): values.values.allSatisfy { $0 == 0 }
        case .list(let values): values.isEmpty
        case .each(let values): values.allSatisfy { $0 == 0 }
        }
    }

    /// The value as a number; nil for texts, reasons, lists and values of workers.
    var number: Double? {
        switch self {
        case .count(let value): Double(value)
        case .number(let value): value
        case .truth(let value): value ? 1 : 0
        case .text, .reasons, .list, .each: nil
        }
    }

    /// The value as a whole number; 0 if it is not a count or a number.
    var whole: UInt64 {
        switch self {
        case .count(let value): value
        case .number(let value): UInt64(exactly: value.rounded(.down)) ?? 0
        case .truth, .text, .reasons, .list, .each: 0
        }
    }

    /// The value rounded to the decimals of `style`.
    func rounded(for style: FigureStyle) -> FigureContent {
        guard let decimals = style.decimals else { return self }
        return switch self {
        case .number(let value): .number(Control.rounded(value, decimals: decimals))
        case .list(let values): .list(values.map { Control.rounded($0, decimals: decimals) })
        case .count, .truth, .text, .reasons, .each: self
        }
    }
}

/// The quantity that a figure measures, which decides its text; the status page's script has a formatter for each name.
package enum FigureStyle: String, Sendable, CaseIterable {
    case count, bytes, text
    /// Shown as yes or no.
    case truth
    /// Seconds, shown in units that keep the text short.
    case duration
    /// Seconds, shown as hours, minutes and seconds.
    case hours
    /// Seconds with decimals.
    case seconds
    /// Seconds since 1970.
    case date
    case milliseconds
    /// The last times in milliseconds, shown as their median and the longest.
    case times
    case percent
    /// 1/10,000.
    case fee
    /// Atomic units of SESH.
    case sesh
    /// Counts by reason.
    case reasons
    /// A count for each worker, and percents for each.
    case each, shares

    /// The number of decimals in a report; nil: all.
    var decimals: Int? {
        switch self {
        case .duration: 1
        case .milliseconds, .times: 3
        case .count, .bytes, .text, .truth, .hours, .seconds, .date, .percent, .fee, .sesh, .reasons, .each,
            .shares:
            nil
        }
    }

    /// The divisor that converts a value to its metric's unit: seconds, SESH, or parts of 1.
    var scale: Double {
        switch self {
        case .milliseconds, .times: 1_000
        case .percent, .shares: 100
        case .fee: 10_000
        case .sesh: 1e9
        case .count, .bytes, .text, .truth, .duration, .hours, .seconds, .date, .reasons, .each: 1
        }
    }

    /// The text of a value for users.
    func text(_ content: FigureContent) -> String {
        switch (self, content) {
        case (_, .text(let text)): return text
        case (_, .reasons(let counts)): return Self.text(counts)
        case (.shares, .each(let values)): return values.map { "\($0) %" }.joined(separator: ", ")
        case (_, .each(let values)): return values.map(String.init).joined(separator: ", ")
        case (_, .list(let values)):
            let sorted = values.sorted()
            guard let longest = sorted.last else { return "-" }
            return "median \(numberText(sorted[sorted.count / 2], decimals: 1)) ms, "
                + "longest \(numberText(longest, decimals: 1)) ms"
        case (.bytes, _): return byteText(content.whole)
        case (.duration, _): return durationText(content.number ?? 0)
        case (.hours, _): return creditText(content.whole)
        case (.seconds, _): return "\(figureText(content.number)) s"
        case (.date, _): return UnixTime(seconds: content.whole).dateText
        case (.milliseconds, _): return "\(numberText(content.number ?? 0, decimals: 1)) ms"
        case (.percent, _): return "\(numberText(content.number ?? 0, decimals: 1)) %"
        case (.fee, _): return Amount.percent(Int(clamping: content.whole))
        case (.sesh, _): return Amount.text(content.whole)
        case (_, .truth(let value)): return value ? "yes" : "no"
        case (_, .count(let value)): return "\(value)"
        case (_, .number(let value)): return figureText(value)
        }
    }

    /// The sum, then the counts by reason, largest first.
    private static func text(_ counts: [String: UInt64]) -> String {
        let total = counts.values.reduce(0, &+)
        guard total > 0 else { return "0" }
        let reasons = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { "\($0.key) \($0.value)" }
        return "\(total) (\(reasons.joined(separator: ", ")))"
    }
}

extension UInt64: FigureValue {
    package var asFigure: FigureContent { .count(self) }
    package init?(figure content: FigureContent) {
        guard case .count(let value) = content else { return nil }
        self = value
    }
}

extension Int: FigureValue {
    package var asFigure: FigureContent { .count(UInt64(clamping: self)) }
    package init?(figure content: FigureContent) {
        guard case .count(let value) = content else { return nil }
        self = Int(clamping: value)
    }
}

extension Double: FigureValue {
    package var asFigure: FigureContent { .number(self) }
    package init?(figure content: FigureContent) {
        guard case .number(let value) = content else { return nil }
        self = value
    }
}

extension Bool: FigureValue {
    package var asFigure: FigureContent { .truth(self) }
    package init?(figure content: FigureContent) {
        guard case .truth(let value) = content else { return nil }
        self = value
    }
}

extension String: FigureValue {
    package var asFigure: FigureContent { .text(self) }
    package init?(figure content: FigureContent) {
        guard case .text(let value) = content else { return nil }
        self = value
    }
}

extension [String: UInt64]: FigureValue {
    package var asFigure: FigureContent { .reasons(self) }
    package init?(figure content: FigureContent) {
        guard case .reasons(let values) = content else { return nil }
        self = values
    }
}

/// A value for each worker of a relay, worker 0 first; a list in JSON.
package struct EachWorker: FigureValue {
    package let values: [UInt64]

    package init(_ values: [UInt64]) { self.values = values }

    package init(from decoder: any Decoder) throws { values = try [UInt64](from: decoder) }
    package func encode(to encoder: any Encoder) throws { try values.encode(to: encoder) }

    package var asFigure: FigureContent { .each(values) }
    package init?(figure content: FigureContent) {
        guard case .each(let values) = content else { return nil }
        self.values = values
    }
}

extension [Double]: FigureValue {
    package var asFigure: FigureContent { .list(self) }
    package init?(figure content: FigureContent) {
        guard case .list(let values) = content else { return nil }
        self = values
    }
}
