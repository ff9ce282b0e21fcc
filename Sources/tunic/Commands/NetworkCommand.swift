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

    @Option(help: "How many nodes (default: one for each --address, or 5).")
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

    /// The network that the options describe.
    private func plan() throws -> NetworkFolder.Plan {
        var choices = NetworkChoices()
        (choices.name, choices.nodes, choices.exits) = (name, nodes, exits)
        (choices.baseAddress, choices.basePort, choices.address) = (baseAddress, basePort, address)
        (choices.authorities, choices.epoch, choices.blockTime) = (authorities, epoch, blockTime)
        (choices.packetSize, choices.limits, choices.local) = (network.packetSize, network.limits, local)
        choices.swarms = network.swarms
        return try checked { () throws(ChoiceFault) in try choices.plan() }
    }

    func validate() throws { _ = try plan() }

    func run() throws {
        let plan = try plan()
        print(try NetworkFolder(in: dir, plan).instructions(isLocal: plan.isLocal))
    }
}
