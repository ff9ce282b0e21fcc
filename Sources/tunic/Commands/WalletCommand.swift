internal import ArgumentParser
internal import OnionCrypto
internal import Wire

/// The keys of accounts.
struct WalletCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "wallet", abstract: "Make an account's key, or show which account a key is of.",
        discussion: "Example:\n  tunic wallet new --wallet wallet.key",
        subcommands: [WalletNewCommand.self, WalletShowCommand.self])
}

/// The file of an account's key.
struct WalletOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The file of the account's key.", valueName: "file"))
    var wallet: String
}

/// Makes a key.
struct WalletNewCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "new", abstract: "Make the key of a new account, and print the account.",
        discussion: """
            Example:
              tunic wallet new --wallet wallet.key

            Whoever has the file has what the account holds; keep a copy where nobody else gets at it. An account is in the \
            registry from the first transfer to it.
            """)

    @OptionGroup var options: WalletOptions

    func run() throws {
        Sodium.initialize()
        let key = SigningKey()
        try RoleFolder.write(key, to: options.wallet)
        print(hexadecimal(key.publicKey.array))
    }
}

/// Shows a key's account.
struct WalletShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Print the account of a key.",
        discussion: "Example:\n  tunic wallet show --wallet wallet.key")

    @OptionGroup var options: WalletOptions

    func run() throws {
        Sodium.initialize()
        print(hexadecimal(try RoleFolder.read(options.wallet).publicKey.array))
    }
}
