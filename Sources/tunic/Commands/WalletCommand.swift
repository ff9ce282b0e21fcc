internal import ArgumentParser
internal import OnionCrypto
internal import Process
internal import Provision

/// The keys of accounts.
struct WalletCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "wallet",
        abstract: "Make an account's key, show a key's account, or seal a key with a passphrase.",
        discussion: "Example:\n  tunic wallet new --wallet wallet.key --passphrase-file passphrase",
        subcommands: [WalletNewCommand.self, WalletShowCommand.self, WalletPassphraseCommand.self])
}

/// The file of an account's key.
struct WalletOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The file of the account's key.", valueName: "file"))
    var wallet: String

    @OptionGroup var passphrase: PassphraseOption
}

/// The passphrase of a key file.
struct PassphraseOption: ParsableArguments {
    @Option(
        name: .customLong("passphrase-file"),
        help: ArgumentHelp(
            "The source of the key's passphrase: a file, or fd: and the number of an open descriptor.",
            valueName: "file"))
    var file: String?

    /// The passphrase; nil if none is given.
    func read() throws(Failure) -> Passphrase? { try PassphraseFile.read(file) }
}

/// Makes a key.
struct WalletNewCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "new", abstract: "Make the key of a new account, and print the account.",
        discussion: """
            Example:
              tunic wallet new --wallet wallet.key
              tunic wallet new --wallet wallet.key --passphrase-file passphrase

            Anyone with the file controls the account, unless a passphrase seals it; keep a copy in a safe place. An account is in the registry after \
            the first transfer to it.
            """)

    @OptionGroup var options: WalletOptions

    func run() throws {
        print(try Keys.makeAccount(at: options.wallet, passphrase: options.passphrase.read()))
    }
}

/// Shows a key's account.
struct WalletShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Print the account of a key.",
        discussion: "Example:\n  tunic wallet show --wallet wallet.key")

    @OptionGroup var options: WalletOptions

    func run() throws {
        print(try Keys.account(at: options.wallet, passphrase: options.passphrase.read()))
    }
}

/// Seals a key with another passphrase, or with none.
struct WalletPassphraseCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "passphrase", abstract: "Seal a key with a passphrase, change the passphrase, or remove it.",
        discussion: """
            Examples:
              tunic wallet passphrase --wallet wallet.key --new-passphrase-file passphrase
              tunic wallet passphrase --wallet /var/lib/tunic/identity.key --new-passphrase-file passphrase
              tunic wallet passphrase --wallet wallet.key --passphrase-file old --new-passphrase-file new
              tunic wallet passphrase --wallet wallet.key --passphrase-file old

            It works for every key: a node's and an authority's too. The new file replaces the old one at once; \
            copies of the old one on a disk or in a backup remain.
            """)

    @OptionGroup var options: WalletOptions

    @Option(
        name: .customLong("new-passphrase-file"),
        help: ArgumentHelp(
            "The source of the new passphrase; without it the key is no longer sealed.", valueName: "file"))
    var newFile: String?

    mutating func validate() throws {
        guard newFile != nil || options.passphrase.file != nil else {
            throw ValidationError("name the new passphrase's file with --new-passphrase-file")
        }
    }

    func run() throws {
        try Keys.reseal(options.wallet, passphrase: options.passphrase.read(), newFile: newFile)
        print(newFile == nil ? "no longer sealed" : "sealed")
    }
}
