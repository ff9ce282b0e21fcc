internal import Wire

/// The nodes in a daemon's list, for output as JSON.
package struct OxendNodesReport: Encodable {
    struct Node: Encodable {
        var node: String
        var state: String
        var operatorAddress: String
        /// The operator's fee in millionths.
        var fee: UInt64
        /// The stake in atomic units.
        var stake: UInt64
        var credit: Int64
        var contributors: Int

        enum CodingKeys: String, CodingKey {
            case node, state, fee, stake, contributors
            case operatorAddress = "operator"
            case credit = "credit_blocks"
        }
    }

    var height: UInt64
    var nodes: [Node]

    package init(_ list: OxendList) {
        height = list.height
        nodes = list.nodes.sorted { $0.node < $1.node }.map {
            Node(
                node: $0.node.description, state: $0.standing.name, operatorAddress: $0.operatorAddress, fee: $0.fee,
                stake: $0.stake, credit: $0.creditBlocks, contributors: $0.contributions.count)
        }
    }
}
