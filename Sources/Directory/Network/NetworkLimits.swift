/// The limits that all nodes of a network keep to (protocol.md, section 10.6): what a client may count on, and no more.
public struct NetworkLimits: Hashable, Sendable {
    /// Path builds a second that one client's link may ask for.
    public var clientBuildsPerSecond = 4
    /// Path builds that one client's link may ask for at once.
    public var clientBuildBurst = 256
    /// Path builds a second that one link between nodes may ask for.
    public var nodeBuildsPerSecond = 200
    /// Path builds that one link between nodes may ask for at once.
    public var nodeBuildBurst = 1_000
    /// Path builds a second that a node takes from all links together.
    public var buildsPerSecond = 1_000
    /// Paths over one client's link.
    public var pathsPerClientLink = 512
    /// Paths over one link between nodes.
    public var pathsPerNodeLink = 50_000
    /// Paths through one node.
    public var paths = 200_000
    /// Seconds after which a path that was asked for and never answered is given up.
    public var halfOpenSeconds = 30
    /// Streams a second that one session may open at an exit.
    public var streamsPerSecond = 200
    /// Streams that one session may open at an exit at once.
    public var streamBurst = 1_000
    /// Open streams of one session at an exit.
    public var streamsPerSession = 4_096

    /// The limits that hold where the network file names no others.
    public init() {}

    /// The keys of all limits, as the network file has them.
    public static var keys: [String] { fields.map(\.key) }

    /// Sets the limit `key`; false where there is none of that name, or it may not have this value.
    public mutating func set(_ key: String, to value: Int) -> Bool {
        guard let field = Self.fields.first(where: { $0.key == key }), field.range.contains(value) else { return false }
        self[keyPath: field.path] = value
        return true
    }

    /// Each limit with its key in the network file and the values that it may have.
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
