/// A figure: its name in each output, and how it is shown there.
package struct Figure<Value: FigureValue>: Sendable {
    let entry: FigureEntry

    /// A figure with these names and texts.
    ///
    /// - Parameters:
    ///   - key: its key in the JSON; a dot separates the object and the key in it (`registry.stake`).
    ///   - metric: its metric; nil for a text, and for values that Prometheus computes from other metrics.
    ///   - help: its meaning, in one sentence. Figures of one metric have the same sentence.
    ///   - row: its row in `tunic status` and on the status page; nil: the heading of both shows it.
    ///   - phrase: its text in the row, with `#` for the value. A comma separates it from the text before it, unless it
    ///     begins with a space, a comma or a semicolon.
    ///   - absent: the text in the row if the figure is missing and other figures of its object are present.
    ///   - hidesZero: whether the row leaves out a zero or a "no".
    ///   - top: its text in `tunic top`; nil: none.
    ///   - roles: the roles that have the figure.
    init(
        _ key: String, _ metric: FigureMetric?, _ help: String, _ style: FigureStyle, row: String?,
        _ phrase: String = "#", absent: String? = nil, hidesZero: Bool = false, top: String? = nil,
        of roles: Set<StatusReport.Role> = [.client, .relay]
    ) {
        entry = FigureEntry(
            key: key, metric: metric, help: help, style: style, row: row, phrase: phrase, absent: absent,
            hidesZero: hidesZero, top: top, roles: roles, choices: Value.choices,
            decode: { container, key throws in try container.decodeIfPresent(Value.self, forKey: key)?.asFigure })
    }
}

/// A figure without the type of its value.
package struct FigureEntry: Sendable {
    package let key: String
    package let metric: FigureMetric?
    package let help: String
    package let style: FigureStyle
    package let row: String?
    package let phrase: String
    package let absent: String?
    package let hidesZero: Bool
    package let top: String?
    package let roles: Set<StatusReport.Role>
    /// All values, if there are only a few; else empty.
    package let choices: [String]
    let decode: @Sendable (KeyedDecodingContainer<FigureKey>, FigureKey) throws -> FigureContent?

    /// The object that contains the figure in the JSON (nil: the report itself), and the figure's key in it.
    package var path: (object: String?, name: String) {
        let parts = key.split(separator: ".", maxSplits: 1).map(String.init)
        return parts.count == 2 ? (parts[0], parts[1]) : (nil, key)
    }
}

/// A key in the JSON of a report.
struct FigureKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(_ text: String) { stringValue = text }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

/// A figure's metric for Prometheus.
package struct FigureMetric: Sendable {
    package let kind: OpenMetrics.Kind
    /// The name without the suffix of the kind; it ends in `_seconds` or `_bytes` if that is the unit.
    package let name: String
    /// The label that distinguishes figures of the same metric.
    package var label: (name: String, value: String)?
    /// A second label; nil: one suffices.
    package var secondLabel: (name: String, value: String)?
    /// Whether samples have a label with the role.
    package var hasRole = true
    /// The value if the figure is missing and other figures of its object are present.
    package var absent: Double?

    /// A metric that goes up and down.
    static func gauge(_ name: String, _ label: String? = nil, _ value: String = "") -> Self {
        Self(kind: .gauge, name: name, label: label.map { ($0, value) })
    }

    /// A metric that only grows.
    static func counter(_ name: String, _ label: String? = nil, _ value: String = "") -> Self {
        Self(kind: .counter, name: name, label: label.map { ($0, value) })
    }

    /// This metric with a second label.
    func and(_ label: String, _ value: String) -> Self {
        var metric = self
        metric.secondLabel = (label, value)
        return metric
    }

    /// `metric` without the role's label, for a figure that only one report of a process has.
    static func ofOne(_ metric: Self, absent: Double? = nil) -> Self {
        Self(
            kind: metric.kind, name: metric.name, label: metric.label, secondLabel: metric.secondLabel, hasRole: false,
            absent: absent)
    }
}
