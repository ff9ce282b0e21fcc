public import Wire

/// Some of the nodes, by id or by the country that they name.
public struct NodeChoice: Sendable, Equatable {
    /// By id.
    public var nodes: Set<NodeID>
    /// By country, two capital letters.
    public var countries: Set<String>

    /// These nodes, and those of these countries.
    public init(nodes: Set<NodeID> = [], countries: Set<String> = []) {
        self.nodes = nodes
        self.countries = countries
    }

    /// Whether it names nothing.
    public var isEmpty: Bool { nodes.isEmpty && countries.isEmpty }

    /// Whether a node is one of them.
    public func contains(_ descriptor: Descriptor) -> Bool {
        nodes.contains(descriptor.node) || !countries.isEmpty && descriptor.country.map(countries.contains) ?? false
    }
}
