/// The state of a client or relay as aggregates only: nothing about any single peer, path or destination.
///
/// The names of its figures are those of `FigureCatalog`; a figure that was not set is nil.
@dynamicMemberLookup
public struct StatusReport: Codable, Equatable, Sendable {
    /// The role of a process in the network.
    public enum Role: String, Codable, Sendable, CaseIterable {
        /// Builds paths.
        case client
        /// Is a hop of other processes' paths.
        case relay
    }

    /// The values of a report that are not figures.
    public struct Facts: Codable, Equatable, Sendable {
        /// The role of the process.
        public var role: Role
        /// The version of the program.
        public var version: String
        /// Why the process does not serve, in one sentence; nil if it serves.
        public var problem: String?
        /// The addresses of a client's SOCKS5 ports.
        public var socks: [String] = []
        /// The options of each of a client's ports in its configuration.
        public var socksFlags: [[String]]?
        /// The addresses of a client's DNS ports; nil: none.
        public var dns: [String]?
        /// A relay's own id.
        public var node: String?
        /// The addresses on which a relay listens.
        public var addresses: [String]?
        /// The steps of a client's start, in order.
        public var progress: [ProgressStep]?
        /// The other role of a process that is client and relay.
        public var others: [StatusReport]?

        enum CodingKeys: String, CodingKey {
            case role, version, problem, socks, dns, node, addresses, progress, others
            case socksFlags = "socks_flags"
        }
    }

    private var facts: Facts
    /// The values of the figures by key.
    private var figures: [String: FigureContent] = [:]

    /// The report of a process that has done nothing yet.
    public init(role: Role, version: String) {
        facts = Facts(role: role, version: version)
        ready = false
    }

    /// A value that is not a figure.
    public subscript<Value>(dynamicMember path: WritableKeyPath<Facts, Value>) -> Value {
        get { facts[keyPath: path] }
        set { facts[keyPath: path] = newValue }
    }

    /// The value of a figure; nil if it was not set.
    package subscript<Value: FigureValue>(dynamicMember path: KeyPath<FigureCatalog, Figure<Value>>) -> Value? {
        get { content(of: FigureCatalog.figures[keyPath: path].entry).flatMap { Value(figure: $0) } }
        set {
            let entry = FigureCatalog.figures[keyPath: path].entry
            figures[entry.key] = newValue?.asFigure.rounded(for: entry.style)
        }
    }

    /// Whether the process serves.
    public var ready: Bool {
        get { self[dynamicMember: \FigureCatalog.ready] ?? false }
        set { self[dynamicMember: \FigureCatalog.ready] = newValue }
    }

    /// The value of any figure; nil if it was not set.
    package func content(of entry: FigureEntry) -> FigureContent? { figures[entry.key] }

    /// Whether any figure of the same object of the JSON is set.
    func hasObject(of entry: FigureEntry) -> Bool {
        FigureCatalog.objects.first { $0.name == entry.path.object }?.figures.contains { figures[$0.key] != nil }
            ?? false
    }

    /// Sets a figure's value; nil removes it.
    package mutating func set(_ entry: FigureEntry, to content: FigureContent?) { figures[entry.key] = content }

    // MARK: JSON

    /// Reads a report as ``encode(to:)`` writes it; unknown fields are ignored.
    public init(from decoder: any Decoder) throws {
        facts = try Facts(from: decoder)
        let container = try decoder.container(keyedBy: FigureKey.self)
        for (object, entries) in FigureCatalog.objects {
            let inner =
                if let object {
                    container.contains(FigureKey(object))
                        ? try container.nestedContainer(keyedBy: FigureKey.self, forKey: FigureKey(object)) : nil
                } else { container as KeyedDecodingContainer<FigureKey>? }
            guard let inner else { continue }
            for entry in entries { figures[entry.key] = try entry.decode(inner, FigureKey(entry.path.name)) }
        }
    }

    /// Writes one object with an inner object for each group of figures; values that were not set are left out.
    public func encode(to encoder: any Encoder) throws {
        try facts.encode(to: encoder)
        var container = encoder.container(keyedBy: FigureKey.self)
        for (object, entries) in FigureCatalog.objects {
            let there = entries.compactMap { entry in figures[entry.key].map { (FigureKey(entry.path.name), $0) } }
            guard let object else {
                for (key, content) in there { try content.encode(into: &container, key) }
                continue
            }
            guard !there.isEmpty else { continue }
            var inner = container.nestedContainer(keyedBy: FigureKey.self, forKey: FigureKey(object))
            for (key, content) in there { try content.encode(into: &inner, key) }
        }
    }
}

extension FigureContent {
    fileprivate func encode(into container: inout KeyedEncodingContainer<FigureKey>, _ key: FigureKey) throws {
        switch self {
        case .count(let value): try container.encode(value, forKey: key)
        case .number(let value): try container.encode(value, forKey: key)
        case .truth(let value): try container.encode(value, forKey: key)
        case .text(let value): try container.encode(value, forKey: key)
        case .reasons(let value): try container.encode(value, forKey: key)
        case .list(let value): try container.encode(value, forKey: key)
        case .each(let value): try container.encode(value, forKey: key)
        }
    }
}

/// A step of a start.
public struct ProgressStep: Codable, Equatable, Sendable {
    /// The state reached by the step.
    public var step: String
    /// Whether the step is done.
    public var done: Bool

    /// A step.
    public init(_ step: String, done: Bool) {
        self.step = step
        self.done = done
    }
}
