internal import ArgumentParser
internal import Directory
internal import Process
internal import Provision

/// Stores a network file as the one that a client uses when none is named.
struct JoinCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "join", abstract: "Check a network file and store it for 'tunic client'.",
        discussion: """
            Examples:
              tunic join network.json
              tunic join https://example.org/network.json
              curl -fsSL https://example.org/network.json | tunic join -
              tunic join network.json --fingerprint 0f3c…

            An address is fetched over the ordinary internet, not through Tunic or another proxy: only by HTTPS, within \
            30 s, with at most three redirects. SSL_CERT_FILE replaces the system's certificate authorities.

            A network file decides which nodes the client trusts at first: compare its fingerprint with one from another source \
            ('b2sum -l 256 network.json' prints the same). It is stored as network.json in $XDG_CONFIG_HOME/tunic or \
            ~/.config/tunic, for root in /etc/tunic.
            """)

    @Argument(help: ArgumentHelp("The network file, its https:// address, or - for standard input.", valueName: "file"))
    var file: String

    @Option(help: ArgumentHelp("Refuse a file with another fingerprint.", valueName: "hex"))
    var fingerprint: String?

    @Flag(
        help: """
            Replace the file of another network, a newer one of the same, one that cannot be read, or one that does not lead \
            to the new one.
            """)
    var replace = false

    func run() throws {
        let joining = try Joining(file, fingerprint: fingerprint, replaces: replace)
        print(joining.text(of: try joining.run(complain)))
    }
}
