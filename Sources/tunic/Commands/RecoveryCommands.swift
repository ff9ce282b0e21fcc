internal import ArgumentParser
internal import OnionCrypto
internal import Provision
internal import Wire

/// Makes the draft of a new network file for the remaining nodes.
struct NetworkRecoverCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "recover", abstract: "Make the draft of a new network file for the remaining nodes.",
        discussion: """
            Example:
              tunic network recover --network network.json --data /var/lib/tunic --without 7zc…q8.snode --output recovery.json

            For a network that has lost a third of its nodes, so that no newer snapshot can become trusted. The draft has the \
            network's id, and the nodes of the newest snapshot that the node of this data folder trusts; the node must not run. \
            More than two thirds of the remaining nodes must sign it with 'tunic network sign'.
            """)

    @Option(help: ArgumentHelp("The network file.", valueName: "file"))
    var network: String

    @Option(help: ArgumentHelp("The data folder of a node that knows the newest snapshot.", valueName: "folder"))
    var data: String?

    @Option(help: ArgumentHelp("A node that is gone, repeated for each.", valueName: "node"), transform: nodeName)
    var without: [NodeID] = []

    @Option(
        help: ArgumentHelp(
            "The new snapshot's height (default: above all that this folder knows).", valueName: "height"))
    var height: UInt64?

    @Option(help: ArgumentHelp("The draft to write.", valueName: "file"))
    var output: String

    func run() throws {
        let made = try Recovery(of: network, data: data, without: Set(without), height: height, output: output)
        print("Made \(output): \(made.nodes) nodes at height \(made.height), above \(made.newest).")
        print("fingerprint without signatures: \(made.fingerprint)")
        print("\(made.needed) of them must sign. At each, while it does not run:")
        print("")
        print("  tunic network sign --network \(network) --data FOLDER \(output)")
    }
}

/// Signs a draft of a new network file as a node.
struct NetworkSignCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sign", abstract: "Sign the draft of a new network file, as one of its nodes.",
        discussion: """
            Examples:
              tunic network sign --network network.json --data /var/lib/tunic recovery.json
              tunic network sign --network network.json --data /var/lib/tunic recovery.json copy-of-another.json

            A node that starts with the new file trusts it completely: compare the printed fingerprint with the other operators, \
            and check the changes. The draft of 'tunic network recover' differs from the network file in the snapshot, and in \
            the bootstrap list by the nodes that are gone. Any other difference is refused, except for the keys of --accept. The \
            signature is written to the first file, with those of the other copies. The node must not run meanwhile.
            """)

    @Option(help: ArgumentHelp("The network file that the node runs with.", valueName: "file"))
    var network: String

    @Option(help: ArgumentHelp("The node's data folder.", valueName: "folder"))
    var data: String

    @OptionGroup var passphrase: PassphraseOption

    @Option(
        help: ArgumentHelp("A key whose value may differ in the draft, repeated for each.", valueName: "key"))
    var accept: [String] = []

    @Argument(help: ArgumentHelp("The draft, and copies of it with other nodes' signatures.", valueName: "file"))
    var files: [String]

    func validate() throws {
        guard !files.isEmpty else { throw ValidationError("name the draft to sign") }
    }

    func run() throws {
        var draft = try DraftSigning(files, network: network, data: data, passphrase: passphrase.read())
        print("fingerprint without signatures: \(draft.fingerprint)")
        print(draft.differences.joined(separator: "\n"))
        let changed = draft.changed.joined(separator: ", ")
        if !changed.isEmpty { print("other values than in \(network): \(changed)") }
        let progress = try draft.sign(accepting: accept)
        print("\(progress.signed) of \(progress.nodes) nodes have signed \(files[0]), \(progress.needed) must.")
        if progress.isComplete { print("It is complete: start nodes and clients with it.") }
    }
}
