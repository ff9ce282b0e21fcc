internal import ArgumentParser
internal import Control
internal import EventLoop
internal import Glibc
internal import OnionCrypto
internal import Registry
internal import Wire

/// What a wallet without a network signs by: `tunic stake state` and `tunic stake proof` print it.
struct StakeTicket: Codable {
    /// The account, 64 hexadecimal digits.
    var account: String
    /// The network's id, 64 hexadecimal digits.
    var network: String
    /// The height of the last block.
    var height: UInt64
    /// How many operations of the account were applied.
    var nonce: UInt64
    /// What an operation costs, in atomic units.
    var operationFee: UInt64
    /// Of a registration: the node, its fee in 1/10,000, the operator's stake in atomic units, and the node's proof.
    var registration: Registration?

    struct Registration: Codable {
        var node: String
        var fee: UInt16
        var stake: UInt64
        /// 128 hexadecimal digits.
        var proof: String
    }

    enum CodingKeys: String, CodingKey {
        case account, network, height, nonce, registration
        case operationFee = "operation_fee"
    }

    init(_ report: AccountReport) {
        account = report.account
        network = report.network
        height = report.height
        nonce = report.nonce
        operationFee = report.operationFee
    }

    /// Reads the file `path`.
    static func read(_ path: String) throws(Failure) -> StakeTicket {
        let contents = try Files.read(path, limit: 65_536)
        guard let ticket = decoded(contents, as: StakeTicket.self) else {
            throw Failure(
                .data, "\(path) is not what 'tunic stake state' or 'tunic stake proof' prints; make it anew on the node"
            )
        }
        return ticket
    }
}

/// A signed operation, to be handed in by anyone.
struct SignedOperation: Codable {
    /// What it does, in words; what counts are the bytes.
    var what: String
    /// Its bytes in hexadecimal.
    var operation: String

    /// Reads the file `path`; its operation.
    static func read(_ path: String) throws(Failure) -> RegistryOperation {
        let contents = try Files.read(path, limit: 65_536)
        guard let file = decoded(contents, as: SignedOperation.self),
            let operation = bytes(hexadecimal: file.operation).flatMap({ try? RegistryOperation(decoding: $0.rawSpan) })
        else {
            throw Failure(.data, "\(path) holds no signed operation, as 'tunic stake … --offline' prints it")
        }
        return operation
    }
}

extension ControlOptions {
    /// How often it is asked what became of an operation, in nanoseconds.
    private static let interval: UInt64 = 100_000_000
    /// How long an operation may take in all, in nanoseconds: longer than a relay gives it with blocks of two minutes.
    private static let limit: UInt64 = 400_000_000_000

    /// Waits until an operation is in a block; throws where a rule stands against it or no block has it in time.
    func follow(_ first: OperationReport) throws(Failure) -> OperationReport {
        var report = first
        let loop = try makeLoop()
        let start = loop.now
        while report.state == .waiting, loop.refreshNow() - start < Self.limit {
            let timer = LoopTimer(on: loop) { loop.stop() }
            timer.schedule(at: loop.now + Self.interval)
            loop.run()
            timer.close()
            report = try ask(.operation, report.operation, as: OperationReport.self)
        }
        loop.close()
        switch report.state {
        case .applied: return report
        case .refused: throw Self.refusal(report)
        case .waiting, .timedOut:
            throw Failure(
                .unavailable,
                "no block had the operation in time; it may still come: see 'tunic stake show' before you try again")
        }
    }

    /// What a rule that stands against an operation means.
    static func refusal(_ report: OperationReport) -> Failure {
        let rule = report.rule ?? "-"
        return Failure(.data, "refused by the rule \(rule)\(RefusalText.meaning(of: rule).map { "; \($0)" } ?? "")")
    }
}

/// Prints what a wallet needs to sign without a network.
struct StakeState: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "state", abstract: "Print what a wallet that is kept offline needs to sign an operation.",
        discussion: "Example:\n  tunic stake state --account ACCOUNT --control relay/control.sock > state.json")

    @OptionGroup var target: ControlOptions
    @OptionGroup var account: AccountOption

    func run() throws {
        print(json(StakeTicket(try target.ask(.account, account.account, as: AccountReport.self))))
    }
}

/// An account, as an option.
struct AccountOption: ParsableArguments {
    @Option(help: ArgumentHelp("The account, 64 hexadecimal digits ('tunic wallet show').", valueName: "account"))
    var account: String

    func validate() throws {
        guard bytes32(hexadecimal: account) != nil else {
            throw ValidationError("--account '\(account)' is no account: 64 hexadecimal digits")
        }
    }
}

/// Has a node agree to be registered.
struct StakeProof: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "proof",
        abstract: "On the node: agree to be registered by an account, so that the wallet can sign elsewhere.",
        discussion: """
            Example:
              tunic stake proof --account ACCOUNT --control relay/control.sock --node-key relay --fee 10 --stake 6250 > proof.json
              tunic stake register --wallet wallet.key --offline proof.json > register.json      (where the wallet is)
              tunic stake submit register.json --control relay/control.sock

            The proof counts for the account's next operation, and for this fee and stake alone.
            """)

    @OptionGroup var target: ControlOptions
    @OptionGroup var account: AccountOption
    @OptionGroup var node: NodeKeyOption
    @OptionGroup var terms: RegistrationTerms

    func run() throws {
        Sodium.initialize()
        let (fee, stake) = try terms.read()
        let key = try node.read()
        var ticket = StakeTicket(try target.ask(.account, account.account, as: AccountReport.self))
        guard let network = bytes32(hexadecimal: ticket.network), let own = bytes32(hexadecimal: ticket.account) else {
            throw Failure(.software, "the relay names no network")
        }
        let proof = RegistryOperation.registrationProof(
            of: key, fee: fee, stake: stake, network: network, account: Account(own), nonce: ticket.nonce)
        ticket.registration = .init(
            node: NodeID(key.publicKey).description, fee: fee, stake: stake, proof: hexadecimal(proof))
        print(json(ticket))
    }
}

/// Hands in an operation that was signed elsewhere.
struct StakeSubmit: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "submit", abstract: "Hand in an operation that a wallet signed elsewhere, and wait for its block.",
        discussion: "Example:\n  tunic stake submit leave.json --control relay/control.sock")

    @OptionGroup var target: ControlOptions
    @Argument(help: ArgumentHelp("The file with the operation.", valueName: "file"))
    var file: String

    func run() throws {
        Sodium.initialize()
        let operation = try SignedOperation.read(file)
        let account = try target.ask(.account, hexadecimal(operation.account.key.array), as: AccountReport.self)
        guard account.network == hexadecimal(operation.network.array) else {
            throw Failure(.data, "\(file) is signed for another network than the one that the relay follows")
        }
        guard account.height < operation.until else {
            throw Failure(
                .data,
                "\(file) was for blocks up to \(operation.until), and the newest is \(account.height): sign it again")
        }
        guard account.nonce == operation.nonce else {
            throw Failure(
                .data,
                "\(file) is signed as operation \(operation.nonce) of its account, whose next is \(account.nonce): sign it "
                    + "again with what 'tunic stake state' prints now")
        }
        let report = try target.follow(
            try target.ask(.submit, hexadecimal(operation.encoded()), as: OperationReport.self))
        print(target.json ? json(report) : "done, in block \(report.height ?? 0)")
    }
}

/// Asks on a terminal whether to go on; yes where there is none, or `isSure`.
func confirm(_ what: String, isSure: Bool) throws(Failure) {
    guard !isSure, isatty(STDIN_FILENO) == 1, isatty(STDERR_FILENO) == 1 else { return }
    writeAll("\(what)\nGo on? [y/N] ", to: STDERR_FILENO)
    guard let answer = readLine()?.lowercased(), ["y", "yes"].contains(answer) else {
        throw Failure(.usage, "nothing was done")
    }
}
