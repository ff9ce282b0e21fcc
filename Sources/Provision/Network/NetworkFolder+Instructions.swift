internal import Wire

extension NetworkFolder {
    /// The output of `tunic network create`: the commands that start the nodes and a client.
    ///
    /// If all addresses are loopback, all nodes run here; otherwise each runs on its own machine with a copy of its
    /// folder.
    package func instructions(isLocal: Bool) -> String {
        let made = "Made \(file), the keys of \(nodes.count) nodes, and their operators' in \(folder)/wallets."
        guard nodes.allSatisfy({ $0.addresses.allSatisfy(\.address.isLoopback) }) else {
            return "\(made)\n\n\(separately(isLocal: isLocal))"
        }
        let starts = nodes.map { node in
            let authority = node.authority.map { " --authority \($0)" } ?? ""
            return "  tunic relay --network \(file) --listen \(Self.list(node.addresses)) --data \(node.folder)"
                + authority + Self.exit(node, isLocal: isLocal)
        }
        return """
            \(made) Start them with:

            \(starts.joined(separator: "\n"))

            and a client with:

              tunic client --network \(file)
            """
    }

    /// The commands for nodes on their own machines.
    ///
    /// A rented machine's public address is often not its interface's, so each node listens on all addresses.
    private func separately(isLocal: Bool) -> String {
        let starts = nodes.map { node in
            let data = String(node.folder.dropFirst(folder.count + 1))
            let authority = node.authority.map { " --authority \(data)\($0.dropFirst(node.folder.count))" } ?? ""
            let any = node.addresses.map {
                Endpoint(address: $0.address.v4 != nil ? IPAddress(v4: 0) : IPAddress(high: 0, low: 0), port: $0.port)
            }
            let places = node.addresses.map(\.description).joined(separator: " and ")
            return """
                For the node at \(places), copy \(file) and the folder \(node.folder) to its machine, and run there:
                  tunic relay --network network.json --listen \(Self.list(any)) --public \(Self.list(node.addresses)) \
                --data \(data)\(authority)\(Self.exit(node, isLocal: isLocal))
                """
        }
        return """
            \(starts.joined(separator: "\n\n"))

            A client needs only \(file):

              tunic join network.json && tunic client
            """
    }

    /// Addresses as the value of an option, quoted if they have brackets, which are patterns in shells.
    private static func list(_ addresses: [Endpoint]) -> String {
        let text = addresses.map(\.description).joined(separator: ",")
        return text.contains("[") ? "'\(text)'" : text
    }

    /// The options of an exit.
    private static func exit(_ node: Node, isLocal: Bool) -> String {
        !node.isExit ? "" : isLocal ? " --exit --exit-allow 127.0.0.0/8 --exit-allow ::1/128" : " --exit"
    }
}
