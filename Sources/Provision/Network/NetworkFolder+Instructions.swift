internal import Wire

extension NetworkFolder {
    /// What `tunic network create` prints: the commands that start the nodes and a client.
    package func instructions(isLocal: Bool) -> String {
        let starts = nodes.map { node in
            let authority = node.authority.map { " --authority \($0)" } ?? ""
            let exit = !node.isExit ? "" : isLocal ? " --exit --exit-allow 127.0.0.0/8 --exit-allow ::1/128" : " --exit"
            let addresses = node.addresses.map(\.description).joined(separator: ",")
            // Shells take brackets for a pattern.
            let listen = addresses.contains("[") ? "'\(addresses)'" : addresses
            return "  tunic relay --network \(file) --listen \(listen) --data \(node.folder)\(authority)\(exit)"
        }
        return """
            Made \(file), the keys of \(nodes.count) nodes, and their operators' in \(folder)/wallets. Start them with:

            \(starts.joined(separator: "\n"))

            and a client with:

              tunic client --network \(file)
            """
    }
}
