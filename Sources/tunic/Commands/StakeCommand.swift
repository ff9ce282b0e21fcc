internal import ArgumentParser
internal import Control
internal import EventLoop
internal import OnionCrypto
internal import Registry
internal import Store
internal import Wire

/// Operations on the registry.
struct StakeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stake", abstract: "Register a node, stake for one, and what follows from it.",
        discussion: """
            Examples:
              tunic stake register --wallet wallet.key --control relay/control.sock --node-key relay/identity.key --fee 10 --stake 6250
              tunic stake contribute --wallet friend.key --control relay/control.sock --node NODE --amount 6250
              tunic stake show --wallet wallet.key --control relay/control.sock

            Amounts are in SESH, fees in percent. Each operation but 'leave' costs the fee that 'tunic stake show' names. A running relay hands the operation in; the command ends when it is in a \
            block, or names the rule that stands against it (docs/registry.md).
            """,
        subcommands: [
            StakeRegister.self, StakeContribute.self, StakeCancel.self, StakeFee.self, StakeLeave.self,
            StakeClaim.self, StakeTransfer.self, StakeShow.self,
        ])
}

/// A wallet, and the relay that hands its operations in.
struct StakeOptions: ParsableArguments {
    @OptionGroup var wallet: WalletOptions
    @OptionGroup var target: ControlOptions

    /// How often it is asked what became of an operation, in nanoseconds.
    private static let interval: UInt64 = 100_000_000
    /// How long an operation may take in all, in nanoseconds: longer than a relay gives it with blocks of two minutes.
    private static let limit: UInt64 = 400_000_000_000

    /// Signs the operation that `make` gives for a network and a nonce, hands it in and waits.
    func run(_ make: (Bytes32, UInt64, borrowing SigningKey) throws -> RegistryOperation) throws {
        Sodium.initialize()
        let key = try wallet.read()
        let account = try target.ask(.account, hexadecimal(key.publicKey.array), as: AccountReport.self)
        guard let network = bytes32(hexadecimal: account.network) else {
            throw Failure(.software, "the relay names no network")
        }
        let operation = try make(network, account.nonce, key)
        var report = try target.ask(.submit, hexadecimal(operation.encoded()), as: OperationReport.self)
        let loop = try makeLoop()
        let start = loop.now
        while report.state == .waiting, loop.refreshNow() - start < Self.limit {
            let timer = LoopTimer(on: loop) { loop.stop() }
            timer.schedule(at: loop.now + Self.interval)
            loop.run()
            timer.close()
            report = try target.ask(.operation, report.operation, as: OperationReport.self)
        }
        loop.close()
        switch report.state {
        case .applied:
            let text = "done, in block \(report.height ?? 0)\(Self.cost(of: operation, account))"
            print(target.json ? Control.json(report) : text)
        case .refused:
            let rule = report.rule ?? "-"
            let meaning = RefusalText.meaning(of: rule).map { "\($0) (" } ?? "("
            throw Failure(.data, "refused by the rule \(rule); \(meaning)docs/registry.md, \"Refusals\")")
        case .waiting, .timedOut:
            throw Failure(
                .unavailable,
                "no block had the operation in time; it may still come: see 'tunic stake show' before you try again")
        }
    }

    /// What an operation has cost, as the end of a sentence; leaving is free.
    private static func cost(of operation: RegistryOperation, _ account: AccountReport) -> String {
        if case .leave = operation.action { return "" }
        return account.operationFee == 0 ? "" : ", for a fee of \(Amount.text(account.operationFee)) SESH"
    }

    /// The same for an action that the account alone signs.
    func run(_ action: RegistryOperation.Action) throws {
        try run { RegistryOperation(network: $0, nonce: $1, action: action, key: $2) }
    }
}

/// A node, as an option.
struct NodeOption: ParsableArguments {
    @Option(help: ArgumentHelp("The node's id.", valueName: "node"), transform: nodeName)
    var node: NodeID
}

/// A node's id on the command line.
func nodeName(_ text: String) throws -> NodeID {
    guard let id = NodeID(text) else {
        throw ValidationError("'\(text)' is no node's id: 52 characters and .snode")
    }
    return id
}

/// Registers a node.
struct StakeRegister: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "register", abstract: "Register a node, as its operator.")

    @OptionGroup var options: StakeOptions

    @Option(name: .customLong("node-key"), help: ArgumentHelp("The file of the node's key.", valueName: "file"))
    var nodeKey: String

    @Option(
        name: .customLong("node-passphrase-file"),
        help: ArgumentHelp("What holds the passphrase that seals the node's key.", valueName: "file"))
    var nodePassphraseFile: String?

    @Option(
        help: ArgumentHelp("The operator's part of each reward, in percent.", valueName: "percent"),
        transform: percentFee)
    var fee: UInt16

    @Option(help: ArgumentHelp("The operator's own stake.", valueName: "SESH"), transform: seshAmount)
    var stake: UInt64

    func run() throws {
        let path = Files.isFolder(nodeKey) ? "\(nodeKey)/\(KeyFile.name)" : nodeKey
        let node = try RoleFolder.read(path, passphrase: PassphraseFile.read(nodePassphraseFile))
        try options.run {
            RegistryOperation(registering: node, fee: fee, stake: stake, network: $0, nonce: $1, key: $2)
        }
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

    func run() throws { try options.run(.contribute(node: node.node, amount: amount)) }
}

/// Takes a contribution back.
struct StakeCancel: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cancel", abstract: "Take back a contribution to a node that is not full yet.")

    @OptionGroup var options: StakeOptions
    @OptionGroup var node: NodeOption

    func run() throws { try options.run(.cancel(node: node.node)) }
}

/// Changes a node's fee.
struct StakeFee: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fee", abstract: "Change a node's fee, as its operator.")

    @OptionGroup var options: StakeOptions
    @OptionGroup var node: NodeOption

    @Option(help: ArgumentHelp("The new fee in percent.", valueName: "percent"), transform: percentFee)
    var fee: UInt16

    func run() throws { try options.run(.setFee(node: node.node, fee: fee)) }
}

/// Asks for a node to leave.
struct StakeLeave: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "leave", abstract: "Ask for a node to leave; its stake is free when the delay is over.")

    @OptionGroup var options: StakeOptions
    @OptionGroup var node: NodeOption

    func run() throws { try options.run(.leave(node: node.node)) }
}

/// Claims rewards.
struct StakeClaim: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "claim", abstract: "Move the account's rewards to its free balance.")

    @OptionGroup var options: StakeOptions

    func run() throws { try options.run(.claim) }
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
            throw Failure(.usage, "--to '\(to)' is no account: 64 hexadecimal digits")
        }
        try options.run(.transfer(to: Account(key), amount: amount))
    }
}

/// Shows an account.
struct StakeShow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show what the account holds: balance, rewards, stakes and locked stakes.")

    @OptionGroup var options: StakeOptions

    func run() throws {
        Sodium.initialize()
        let account = hexadecimal(try options.wallet.read().publicKey.array)
        let report = try options.target.ask(.account, account, as: AccountReport.self)
        if options.target.json { return print(json(report)) }
        var table = Table()
        table.add("account", report.account)
        table.add("balance", "\(Amount.text(report.balance)) SESH")
        table.add("rewards", "\(Amount.text(report.rewards)) SESH")
        table.add("fee", "\(Amount.text(report.operationFee)) SESH for each operation but 'leave'")
        for stake in report.stakes {
            table.add("stake", "\(Amount.text(stake.amount)) SESH in \(stake.node) (\(stake.state))")
        }
        for lock in report.locked {
            let left = lock.until - min(lock.until, currentTime().seconds)
            table.add("locked", "\(Amount.text(lock.amount)) SESH for \(durationText(Double(left)))")
        }
        print(table.lines.joined(separator: "\n"))
    }
}
