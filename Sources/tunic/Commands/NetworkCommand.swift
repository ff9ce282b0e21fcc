internal import ArgumentParser
internal import Daemon
internal import OnionCrypto
internal import Process
internal import Provision
internal import Wire

/// The commands for networks.
struct NetworkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "network", abstract: "Make a network, or a new network file for the remaining nodes.",
        discussion: "Example:\n  tunic network create --dir testnet --nodes 5 --exits 2 --local",
        subcommands: [
            NetworkCreateCommand.self, NetworkKeyCommand.self, NetworkRecoverCommand.self, NetworkSignCommand.self,
        ])
}

/// Makes a node's key.
struct NetworkKeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "key", abstract: "Make the data folder and the key of a new node, and print the node's id.",
        discussion: """
            Examples:
              tunic network key --data /var/lib/tunic
              tunic network key --data /var/lib/tunic --passphrase-file passphrase
            """)

    @Option(help: ArgumentHelp("The node's data folder.", valueName: "folder"))
    var data: String

    @OptionGroup var passphrase: PassphraseOption

    func run() throws {
        print(try Keys.makeNode(in: data, passphrase: passphrase.read()))
    }
}

/// Makes a network's keys and its network file.
struct NetworkCreateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make the keys of a network's first nodes, and its network file.",
        discussion: """
            Examples:
              tunic network create --dir testnet --nodes 5 --exits 2 --local
              tunic network create --dir net --address 198.51.100.7:7100 --address '203.0.113.9:7100,[2001:db8::9]:7100'

            Nothing is overwritten. Each node's folder goes to its machine, network.json to everyone, and the keys in wallets \
            to those who hold the stakes.
            """)

    @Option(help: ArgumentHelp("The folder to make it in.", valueName: "folder"))
    var dir: String

    @Option(help: "The network's name, for people.")
    var name = "tunic"

    @Option(help: "How many nodes.")
    var nodes: Int?

    @Option(help: "How many of them, the last ones, are exits.")
    var exits = 1

    @Option(
        name: .customLong("base-address"),
        help: ArgumentHelp("The address of all nodes, which get consecutive ports.", valueName: "address"))
    var baseAddress = "127.0.0.1"

    @Option(name: .customLong("base-port"), help: ArgumentHelp("The first node's port.", valueName: "port"))
    var basePort: UInt16 = 7100

    @Option(
        help: ArgumentHelp(
            "The address of one node, repeated for each, instead of base address and port; IPv4 and IPv6 separated by a comma.",
            valueName: "address"),
        transform: option(SettingText.announcedEndpoints))
    var address: [[Endpoint]] = []

    @Option(
        help: "How many authorities make the ledger's blocks, at the first nodes (default: 3, or 1 with fewer nodes).")
    var authorities: Int?

    @Option(help: ArgumentHelp("How long an epoch of the registry lasts.", valueName: "seconds"))
    var epoch: UInt64 = 3600

    @Option(name: .customLong("block-time"), help: ArgumentHelp("How long a block takes.", valueName: "seconds"))
    var blockTime: UInt64 = 120

    @OptionGroup var network: NetworkOptions

    @Flag(help: "Allow private and loopback addresses; implied when all are loopback.")
    var local = false

    mutating func validate() throws {
        guard 1...64 ~= name.utf8.count, name.utf8.allSatisfy({ 0x20...0x7e ~= $0 }) else {
            throw ValidationError("--name: use 1 to 64 printable ASCII characters")
        }
        if !address.isEmpty, let nodes, nodes != address.count {
            throw ValidationError("--nodes \(nodes) and \(address.count) times --address do not match")
        }
        let count = address.isEmpty ? nodes ?? 5 : address.count
        guard 1...256 ~= count else { throw ValidationError("--nodes \(count): use 1 to 256") }
        guard 0...count ~= exits else {
            throw ValidationError("--exits \(exits): use 0 to \(count), the number of nodes")
        }
        guard Int(basePort) + count - 1 <= 65_535, basePort > 0 else {
            throw ValidationError("--base-port \(basePort) leaves no room for \(count) ports")
        }
        guard 1...604_800 ~= epoch else { throw ValidationError("--epoch \(epoch): use 1 to 604800 seconds") }
        guard 1...min(86_400, epoch) ~= blockTime else {
            throw ValidationError("--block-time \(blockTime): use 1 to \(min(86_400, epoch)) seconds")
        }
        guard let first = IPAddress(baseAddress) else {
            throw ValidationError("--base-address '\(baseAddress)' is not an address such as 127.0.0.1")
        }
        if address.isEmpty {
            address = (0..<count).map { [Endpoint(address: first, port: basePort + UInt16($0))] }
        }
        let all = address.flatMap { $0 }
        guard Set(all).count == all.count else { throw ValidationError("--address: an address occurs twice") }
        for endpoint in all where endpoint.address.isUnspecified {
            throw ValidationError("'\(endpoint)' is not an address to which others can send")
        }
        if all.allSatisfy({ $0.address.isLoopback }) { local = true }
        if !local, let special = all.first(where: { !$0.address.isPublic && !$0.address.isDocumentation }) {
            throw ValidationError(
                "\(special.address) is not a public address; use --local for a network of private addresses")
        }
    }

    func run() throws {
        var plan = NetworkFolder.Plan(
            name: name, addresses: address, exits: exits, packetSize: network.packetSize, isLocal: local)
        plan.limits = network.limits
        plan.registry = RegistryPlan(authorities: authorities, epoch: epoch, block: blockTime)
        let made = try NetworkFolder(in: dir, plan)
        print(
            "Made \(made.file), the keys of \(made.nodes.count) nodes, and their operators' in \(dir)/wallets. Start them with:"
        )
        print("")
        for node in made.nodes {
            let authority = node.authority.map { " --authority \($0)" } ?? ""
            let exit = !node.isExit ? "" : local ? " --exit --exit-allow 127.0.0.0/8 --exit-allow ::1/128" : " --exit"
            let addresses = node.addresses.map(\.description).joined(separator: ",")
            // Shells take brackets for a pattern.
            let listen = addresses.contains("[") ? "'\(addresses)'" : addresses
            print("  tunic relay --network \(made.file) --listen \(listen) --data \(node.folder)\(authority)\(exit)")
        }
        print("")
        print("and a client with:")
        print("")
        print("  tunic client --network \(made.file)")
    }
}
