/// A node's state in the registry of a network with a ledger.
package enum RegistryStanding: String, Codable, Sendable, CaseIterable, FigureValue {
    /// The node is not registered.
    case unregistered
    /// The node's stake is not full.
    case open
    /// The node serves and earns.
    case active
    /// The node is out of service for a time that it requested.
    case maintenance
    /// Other nodes found that it does not serve.
    case decommissioned
    /// The node was away for longer than its credit and grace, and its stake is locked.
    case deregistered

    package var asFigure: FigureContent { .text(rawValue) }
    package static var choices: [String] { allCases.map(\.rawValue) }
    package init?(figure content: FigureContent) {
        guard case .text(let text) = content else { return nil }
        self.init(rawValue: text)
    }
}
