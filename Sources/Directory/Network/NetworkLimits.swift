/// The limits that all nodes of a network apply, and that clients may rely on (protocol.md, section 10.6).
public struct NetworkLimits: Hashable, Sendable {
    /// Path builds a second over one client's link.
    public var clientBuildsPerSecond = 4
    /// Path builds at once over one client's link.
    public var clientBuildBurst = 256
    /// Path builds a second over one link between nodes.
    public var nodeBuildsPerSecond = 200
    /// Path builds at once over one link between nodes.
    public var nodeBuildBurst = 1_000
    /// Path builds a second that a node accepts from all links together.
    public var buildsPerSecond = 1_000
    /// Paths over one client's link.
    public var pathsPerClientLink = 512
    /// Paths over one link between nodes.
    public var pathsPerNodeLink = 50_000
    /// Paths through one node.
    public var paths = 200_000
    /// Seconds after which a path without an answer to its build is dropped.
    public var halfOpenSeconds = 30
    /// Streams a second that one session may open at an exit.
    public var streamsPerSecond = 200
    /// Streams that one session may open at an exit at once.
    public var streamBurst = 1_000
    /// Open streams of one session at an exit.
    public var streamsPerSession = 4_096

    /// The limits if the network file has none.
    public init() {}

    /// The keys of all limits, as in the network file.
    public static var keys: [String] { fields.map(\.key) }

    /// Sets the limit `key`; false if the key is unknown or the value is out of range.
    public mutating func set(_ key: String, to value: Int) -> Bool {
        guard let field = Self.fields.first(where: { $0.key == key }), field.range.contains(value) else { return false }
        self[keyPath: field.path] = value
        return true
    }

    /// Each limit with its key in the network file and its range.
    static var fields: [(key: String, path: WritableKeyPath<NetworkLimits, Int>, range: ClosedRange<Int>)] {
        [
            ("clientBuildsPerSecond", \.clientBuildsPerSecond, 1...1_000_000),
            ("clientBuildBurst", \.clientBuildBurst, 1...1_000_000),
            ("nodeBuildsPerSecond", \.nodeBuildsPerSecond, 1...1_000_000),
            ("nodeBuildBurst", \.nodeBuildBurst, 1...1_000_000),
            ("buildsPerSecond", \.buildsPerSecond, 1...1_000_000),
            ("pathsPerClientLink", \.pathsPerClientLink, 1...16_000_000),
            ("pathsPerNodeLink", \.pathsPerNodeLink, 1...16_000_000),
            ("paths", \.paths, 1...2_097_152),
            ("halfOpenSeconds", \.halfOpenSeconds, 1...600),
            ("streamsPerSecond", \.streamsPerSecond, 1...1_000_000),
            ("streamBurst", \.streamBurst, 1...1_000_000),
            ("streamsPerSession", \.streamsPerSession, 1...1_000_000),
        ]
    }
}
