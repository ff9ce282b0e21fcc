package import Directory
internal import OnionCrypto
package import Process
package import Wire

/// A new network on disk: `network.json`, and a folder with a key for each node.
package struct NetworkFolder {
    /// The properties of the network.
    package struct Plan {
        package var name: String
        /// The addresses on which each node listens, at most one of each family.
        package var addresses: [[Endpoint]]
        /// How many nodes, the last ones, are exits.
        package var exits: Int
        package var packetSize: Int
        /// Whether nodes may have private and loopback addresses.
        package var isLocal: Bool
        /// The limits of its nodes.
        package var limits = NetworkLimits()
        /// The numbers of its swarm store.
        package var swarms = NetworkFile.Swarms()
        /// The parameters of the registry.
        package var registry = RegistryPlan()

        /// A network of nodes at these addresses, with default limits.
        package init(name: String, addresses: [[Endpoint]], exits: Int, packetSize: Int, isLocal: Bool) {
            self.name = name
            self.addresses = addresses
            self.exits = exits
            self.packetSize = packetSize
            self.isLocal = isLocal
        }
    }

    /// One node of the network.
    package struct Node {
        package var id: NodeID
        package var addresses: [Endpoint]
        package var isExit: Bool
        /// The data folder, with the key.
        package var folder: String
        /// The path of the authority's key file; nil if the node is not an authority.
        package var authority: String?
    }

    /// The folder of all files.
    let folder: String
    /// The network file.
    package let file: String
    /// The nodes, in the plan's order.
    package let nodes: [Node]

    /// Makes the network in `folder`, which is created if it is missing and must not have any of the files.
    ///
    /// It checks first, and removes its files if it fails.
    package init(in folder: String, _ plan: Plan) throws(Failure) {
        var creation = NetworkCreation(
            name: plan.name, nodes: plan.addresses.map { NetworkCreation.Plan(addresses: $0) }, at: currentTime())
        creation.file.packetSize = plan.packetSize
        creation.file.allowPrivateAddresses = plan.isLocal
        creation.file.requireAddressDiversity = !plan.isLocal
        creation.file.limits = plan.limits
        creation.file.swarms = plan.swarms
        let ledger = try FirstLedger(&creation, plan.registry)
        do {
            try creation.file.validate()
        } catch {
            throw Failure(.usage, "no network can be made of these values: \(error)")
        }
        self.folder = folder
        file = "\(folder)/network.json"
        nodes = creation.nodes.enumerated().map { index, node in
            Node(
                id: node.id, addresses: plan.addresses[index], isExit: index >= plan.addresses.count - plan.exits,
                folder: "\(folder)/node-\(index + 1)",
                authority: index < ledger.authorities.count ? "\(folder)/node-\(index + 1)/\(FirstLedger.keyName)" : nil
            )
        }
        let wallets = "\(folder)/wallets"
        for path in [file, wallets] + nodes.map(\.folder) where Files.exists(path) {
            throw Failure(.cannotCreate, "\(path) is there already; remove it, or give another folder with --dir")
        }
        var made: [String] = []
        do throws(Failure) {
            if try Files.makeFolder(folder) { made.append(folder) }
            for (node, keys) in zip(nodes, creation.nodes) {
                try Files.makeFolder(node.folder)
                made.append(node.folder)
                try RoleFolder.writeKey(keys.key, in: node.folder)
            }
            for (node, authority) in zip(nodes, ledger.authorities) {
                if let path = node.authority { try RoleFolder.write(authority.key, to: path) }
            }
            try Files.makeFolder(wallets)
            made.append(wallets)
            try RoleFolder.write(ledger.bank.key, to: "\(wallets)/bank.key")
            for (index, wallet) in ledger.operators.enumerated() {
                try RoleFolder.write(wallet.key, to: "\(wallets)/operator-\(index + 1).key")
            }
            try Files.writeNew(file, creation.file.json(), mode: 0o644)
        } catch {
            for path in made.reversed() { Files.remove(path) }
            throw error
        }
    }
}
