/// A figure: what it is called in each output, and how it is shown there.
package struct Figure<Value: FigureValue>: Sendable {
    let entry: FigureEntry

    /// A figure of these words.
    ///
    /// - Parameters:
    ///   - key: its place in the JSON, with a dot below an object (`registry.stake`).
    ///   - metric: its metric; nil for a text, and for what Prometheus makes of other metrics.
    ///   - help: what it is, in one sentence. Figures of one metric have the same sentence.
    ///   - row: the row of `tunic status` and of the status page; nil: it is in the heading of both.
    ///   - phrase: what the row says, with the value in place of `#`. It follows what is there already after a comma, or as it is
    ///     where it begins with a space, a comma or a semicolon.
    ///   - absent: what the row says where the figure is missing and others of its object are there.
    ///   - hidesZero: whether the row says nothing of a zero, or of no.
    ///   - top: what `tunic top` says; nil: nothing.
    ///   - roles: who has it.
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
    /// All values, where there are a few only.
    package let choices: [String]
    let decode: @Sendable (KeyedDecodingContainer<FigureKey>, FigureKey) throws -> FigureContent?

    /// The object of the JSON in which it is, and its key there.
    package var path: (object: String?, name: String) {
        let parts = key.split(separator: ".", maxSplits: 1).map(String.init)
        return parts.count == 2 ? (parts[0], parts[1]) : (nil, key)
    }
}

/// A key of the JSON.
struct FigureKey: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(_ text: String) { stringValue = text }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

/// A figure's name for Prometheus.
package struct FigureMetric: Sendable {
    package let kind: OpenMetrics.Kind
    /// The name without what the kind adds; it ends in `_seconds` or `_bytes` where that is the unit.
    package let name: String
    /// The label that tells it from other figures of the same metric.
    package var label: (name: String, value: String)?
    /// Whether a label names the role.
    package var hasRole = true
    /// The value where the figure is missing and others of its object are there.
    package var absent: Double?

    /// What goes up and down.
    static func gauge(_ name: String, _ label: String? = nil, _ value: String = "") -> Self {
        Self(kind: .gauge, name: name, label: label.map { ($0, value) })
    }

    /// What only grows.
    static func counter(_ name: String, _ label: String? = nil, _ value: String = "") -> Self {
        Self(kind: .counter, name: name, label: label.map { ($0, value) })
    }

    /// The same without the role: only one report of a process has it.
    static func ofOne(_ metric: Self, absent: Double? = nil) -> Self {
        Self(kind: metric.kind, name: metric.name, label: metric.label, hasRole: false, absent: absent)
    }
}
