internal import ArgumentParser
internal import Control
internal import OnionCrypto
internal import Process
internal import Provision
internal import Registry
internal import Wire

/// Prints the account's state for a wallet without a network.
struct StakeState: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "state", abstract: "Print the account's state, with which an offline wallet signs an operation.",
        discussion: "Example:\n  tunic stake state --account ACCOUNT --control relay/control.sock > state.json")

    @OptionGroup var target: ControlOptions
    @OptionGroup var account: AccountOption

    func run() throws {
        print(json(StakeTicket(try target.process().account(account.account))))
    }
}

/// An account, as an option.
struct AccountOption: ParsableArguments {
    @Option(help: ArgumentHelp("The account, 64 hexadecimal digits ('tunic wallet show').", valueName: "account"))
    var account: String

    func validate() throws {
        guard bytes32(hexadecimal: account) != nil else {
            throw ValidationError("--account '\(account)' is not an account: 64 hexadecimal digits")
        }
    }
}

/// Signs a node's agreement to be registered.
struct StakeProof: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "proof",
        abstract: "On the node: agree to be registered by an account, so that the wallet can sign elsewhere.",
        discussion: """
            Example:
              tunic stake proof --account ACCOUNT --control relay/control.sock --node-key relay --fee 10 --stake 6250 > proof.json
              tunic stake register --wallet wallet.key --offline proof.json > register.json      (where the wallet is)
              tunic stake submit register.json --control relay/control.sock

            The proof is valid only for the account's next operation, and for this fee and stake.
            """)

    @OptionGroup var target: ControlOptions
    @OptionGroup var account: AccountOption
    @OptionGroup var node: NodeKeyOption
    @OptionGroup var terms: RegistrationTerms

    func run() throws {
        Sodium.initialize()
        let (fee, stake) = try terms.read()
        let key = try node.read()
        let ticket = StakeTicket(try target.process().account(account.account))
        print(json(try ticket.agreed(by: key, fee: fee, stake: stake)))
    }
}

/// Submits an operation that was signed elsewhere.
struct StakeSubmit: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "submit", abstract: "Submit an operation that a wallet signed elsewhere, and wait for its block.",
        discussion: "Example:\n  tunic stake submit leave.json --control relay/control.sock")

    @OptionGroup var target: ControlOptions
    @Argument(help: ArgumentHelp("The file with the operation.", valueName: "file"))
    var file: String

    func run() throws {
        Sodium.initialize()
        let operation = try SignedOperation.read(file)
        let relay = try target.process()
        try operation.check(against: try relay.account(hexadecimal(operation.account.key.array)), file)
        let report = try relay.handIn(operation)
        print(target.json ? json(report) : "done, in block \(report.height ?? 0)")
    }
}
