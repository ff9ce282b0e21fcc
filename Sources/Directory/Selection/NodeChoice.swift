public import Wire

/// A choice of nodes, by id or by the country in their descriptors.
public struct NodeChoice: Sendable, Equatable {
    /// The chosen node ids.
    public var nodes: Set<NodeID>
    /// The chosen countries, two capital letters each.
    public var countries: Set<String>

    /// These nodes, and all nodes of these countries.
    public init(nodes: Set<NodeID> = [], countries: Set<String> = []) {
        self.nodes = nodes
        self.countries = countries
    }

    /// Whether it chooses nothing.
    public var isEmpty: Bool { nodes.isEmpty && countries.isEmpty }

    /// Whether it includes the node of the descriptor.
    public func contains(_ descriptor: Descriptor) -> Bool {
        nodes.contains(descriptor.node) || !countries.isEmpty && descriptor.country.map(countries.contains) ?? false
    }
}
