internal import ArgumentParser
internal import Control
internal import OnionCrypto
internal import Process
internal import Provision
internal import Registry
internal import Store
internal import Texts
internal import Wire

/// Operations on the registry.
struct StakeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stake", abstract: "Register a node, contribute to a node's stake, and manage them.",
        discussion: """
            Examples:
              tunic stake register --wallet wallet.key --control relay/control.sock --node-key relay/identity.key --fee 10 --stake 6250
              tunic stake contribute --wallet friend.key --control relay/control.sock --node NODE --amount 6250 --fee 10
              tunic stake show --wallet wallet.key --control relay/control.sock

            Amounts are in SESH, fees in percent. Each operation except 'leave' costs the fee shown by 'tunic stake show'. A running relay submits the operation; the command ends when it is in a \
            block, or prints the rule that refuses it. The relay's user and root may write to its control socket.

            An offline wallet signs with --offline: 'tunic stake state' and 'tunic stake proof' print its input, 'tunic stake submit' submits its output.
            """,
        subcommands: [
            StakeRegister.self, StakeContribute.self, StakeCancel.self, StakeFee.self, StakeLeave.self,
            StakeClaim.self, StakeTransfer.self, StakeShow.self, StakeState.self, StakeProof.self, StakeSubmit.self,
        ])
}

/// A wallet, and the relay that submits its operations, or a file with the account's state.
struct StakeOptions: ParsableArguments {
    @OptionGroup var wallet: WalletOptions
    @OptionGroup var target: ControlOptions

    @Option(
        help: ArgumentHelp(
            "Sign without a relay, with the output of 'tunic stake state', and print the operation for 'tunic stake submit'.",
            valueName: "file"))
    var offline: String?

    @Option(help: ArgumentHelp("For how many blocks the operation may be submitted.", valueName: "blocks"))
    var valid: UInt64 = 720

    @Flag(
        name: .customLong("dry-run"), help: "Print whether the rules would accept the operation, and do nothing else.")
    var dryRun = false

    @Flag(
        help: "Do not ask before 'register', 'leave' and 'transfer'; without a terminal they need this.")
    var yes = false

    func validate() throws {
        guard offline == nil || !dryRun else {
            throw ValidationError("--dry-run needs a relay, and --offline uses none; give one of the two")
        }
        guard (1...1_000_000).contains(valid) else { throw ValidationError("--valid is 1 to 1000000 blocks") }
    }

    /// Signs the operation that `make` returns; submits it and waits, or prints it.
    ///
    /// `what` describes it for people.
    ///
    /// Returns the height of its block; nil if it was not submitted. With `asks`, the user must confirm on a terminal.
    @discardableResult
    func run(
        _ what: String, asks: Bool = false, _ make: (borrowing StakeSigner) -> RegistryOperation
    ) throws -> UInt64? {
        let source: StakeSigner.Source = if let offline { .file(offline) } else { .relay(try target.process()) }
        let signer = try StakeSigner(
            wallet: wallet.wallet, passphrase: wallet.passphrase.read(), by: source, valid: valid)
        let outcome = try order().run(what, asks: asks, make(signer), by: signer)
        print(outcome.text)
        return outcome.height
    }

    /// The same for an action that needs only the account's signature.
    @discardableResult
    func run(_ what: String, asks: Bool = false, _ action: RegistryOperation.Action) throws -> UInt64? {
        try run(what, asks: asks) { $0.sign(action) }
    }

    private func order() throws(Failure) -> StakeOrder {
        let way: StakeOrder.Way =
            if dryRun { .dryRun(try target.process()) } else if offline != nil { .offline } else {
                .submit(try target.process())
            }
        let isSure = yes
        return StakeOrder(way, isJSON: target.json) { (what) throws(Failure) in if !isSure { try confirm(what) } }
    }
}

/// An amount on the command line.
func seshAmount(_ text: String) throws -> UInt64 {
    guard let units = Amount.units(text) else {
        throw ValidationError("'\(text)' is not an amount; write SESH, such as 25000 or 0.5")
    }
    return units
}

/// A fee on the command line.
func percentFee(_ text: String) throws -> UInt16 {
    guard let fee = Amount.fee(text) else {
        throw ValidationError("'\(text)' is not a fee; write percent with up to two decimals, such as 12.5")
    }
    return fee
}

/// A node, as an option.
struct NodeOption: ParsableArguments {
    @Option(help: ArgumentHelp("The node's id.", valueName: "node"), transform: nodeName)
    var node: NodeID
}

/// A node's id on the command line.
func nodeName(_ text: String) throws -> NodeID {
    guard let id = NodeID(text) else {
        throw ValidationError("'\(text)' is not a node's id: 52 characters and .snode")
    }
    return id
}

/// The file of a node's key, as an option.
struct NodeKeyOption: ParsableArguments {
    @Option(
        name: .customLong("node-key"),
        help: ArgumentHelp("The file of the node's key, or its folder.", valueName: "file"))
    var nodeKey: String?

    @Option(
        name: .customLong("node-passphrase-file"),
        help: ArgumentHelp("The source of the passphrase of the node's key.", valueName: "file"))
    var nodePassphraseFile: String?

    /// The node's key.
    func read() throws(Failure) -> SigningKey {
        Sodium.initialize()
        guard let nodeKey else { throw Failure(.usage, "--node-key is missing: the file of the node's key") }
        let path = Files.isFolder(nodeKey) ? "\(nodeKey)/\(KeyFile.name)" : nodeKey
        return try RoleFolder.read(path, passphrase: PassphraseFile.read(nodePassphraseFile))
    }
}

/// The terms of a node's registration.
struct RegistrationTerms: ParsableArguments {
    @Option(
        help: ArgumentHelp("The operator's part of each reward, in percent.", valueName: "percent"),
        transform: percentFee)
    var fee: UInt16?

    @Option(help: ArgumentHelp("The operator's own stake.", valueName: "SESH"), transform: seshAmount)
    var stake: UInt64?

    /// Both terms.
    func read() throws(Failure) -> (fee: UInt16, stake: UInt64) {
        guard let fee, let stake else {
            throw Failure(.usage, "--\(fee == nil ? "fee" : "stake") is missing (see 'tunic stake register --help')")
        }
        return (fee, stake)
    }
}

/// Registers a node.
struct StakeRegister: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "register", abstract: "Register a node, as its operator.",
        discussion: """
            With --offline the file is what 'tunic stake proof' printed on the node: it names the node, the fee and the stake, and --node-key, --fee and --stake are not given.
            """)

    @OptionGroup var options: StakeOptions
    @OptionGroup var node: NodeKeyOption
    @OptionGroup var terms: RegistrationTerms

    func run() throws {
        if let file = options.offline {
            let agreed = try StakeTicket.read(file).registered(fee: terms.fee, stake: terms.stake, file)
            try options.run(Self.text(agreed.node, agreed.fee, agreed.stake), asks: true, agreed.action)
        } else {
            let (fee, stake) = try terms.read()
            let key = try node.read()
            try options.run(Self.text(NodeID(key.publicKey), fee, stake), asks: true) {
                $0.register(key, fee: fee, stake: stake)
            }
        }
    }

    private static func text(_ node: NodeID, _ fee: UInt16, _ stake: UInt64) -> String {
        "register \(node) with \(Amount.text(stake)) SESH, for \(Amount.percent(Int(fee))) of its rewards"
    }
}

/// Adds to a node's stake.
struct StakeContribute: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "contribute", abstract: "Add to the stake of a node that is not full yet.")

    @OptionGroup var options: StakeOptions
    @OptionGroup var node: NodeOption

    @Option(help: ArgumentHelp("How much.", valueName: "SESH"), transform: seshAmount)
    var amount: UInt64

    @Option(
        help: ArgumentHelp(
            "The highest operator's fee that you accept, in percent of each reward ('tunic nodes NODE' shows the fee). Above it the operation is refused.",
            valueName: "percent"),
        transform: percentFee)
    var fee: UInt16

    func run() throws {
        try options.run(
            "contribute \(Amount.text(amount)) SESH to \(node.node), for a fee of at most \(Amount.percent(Int(fee)))",
            .contribute(node: node.node, amount: amount, fee: fee))
    }
}

/// Takes back a contribution.
struct StakeCancel: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cancel", abstract: "Take back a contribution to a node that is not full yet.")

    @OptionGroup var options: StakeOptions
    @OptionGroup var node: NodeOption

    func run() throws { try options.run("take back the contribution to \(node.node)", .cancel(node: node.node)) }
}

/// Changes a node's fee.
struct StakeFee: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fee", abstract: "Change a node's fee, as its operator.")

    @OptionGroup var options: StakeOptions
    @OptionGroup var node: NodeOption

    @Option(help: ArgumentHelp("The new fee in percent.", valueName: "percent"), transform: percentFee)
    var fee: UInt16

    func run() throws {
        try options.run(
            "set the fee of \(node.node) to \(Amount.percent(Int(fee)))", .setFee(node: node.node, fee: fee))
    }
}

/// Requests that a node leave.
struct StakeLeave: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "leave", abstract: "Ask for a node to leave; its stake is free when the delay is over.")

    @OptionGroup var options: StakeOptions
    @OptionGroup var node: NodeOption

    func run() throws {
        let what = "\(node.node) leaves the network when the delay is over, which cannot be taken back"
        guard try options.run(what, asks: true, .leave(node: node.node)) != nil, !options.target.json else { return }
        let report = try options.target.ask(.nodes, node.node.description, as: NodesReport.self)
        guard let time = report.nodes.first?.leavesAt else { return }
        print("the node serves and earns until \(UnixTime(seconds: time).dateText); then its stake is free")
    }
}

/// Claims rewards.
struct StakeClaim: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "claim", abstract: "Move the account's rewards to its free balance.")

    @OptionGroup var options: StakeOptions

    func run() throws { try options.run("claim the rewards", .claim) }
}

/// Sends an amount.
struct StakeTransfer: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "transfer", abstract: "Send an amount to another account.")

    @OptionGroup var options: StakeOptions

    @Option(help: ArgumentHelp("The account that gets it, 64 hexadecimal digits.", valueName: "account"))
    var to: String

    @Option(help: ArgumentHelp("How much.", valueName: "SESH"), transform: seshAmount)
    var amount: UInt64

    func run() throws {
        guard let key = bytes32(hexadecimal: to) else {
            throw Failure(.usage, "--to '\(to)' is not an account: 64 hexadecimal digits")
        }
        try options.run(
            "transfer \(Amount.text(amount)) SESH to \(to)", asks: true, .transfer(to: Account(key), amount: amount))
    }
}

/// Shows an account.
struct StakeShow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show the account: balance, rewards, stakes and locked stakes.")

    @OptionGroup var target: ControlOptions

    @Option(help: ArgumentHelp("The file of the account's key.", valueName: "file"))
    var wallet: String?

    @OptionGroup var passphrase: PassphraseOption

    @Option(help: ArgumentHelp("The account, in place of its key.", valueName: "account"))
    var account: String?

    func validate() throws {
        guard (wallet == nil) != (account == nil) else {
            throw ValidationError("name the account by --wallet or by --account")
        }
    }

    func run() throws {
        var named = account ?? ""
        if let wallet { named = try Keys.account(at: wallet, passphrase: passphrase.read()) }
        let report = try target.process().account(named)
        print(target.json ? json(report) : report.text)
    }
}
