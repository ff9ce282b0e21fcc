internal import Control
internal import Glibc
internal import Process

/// Prints the events of a network for users, or with `isJSON` for programs.
package final class DevnetPrinter: DevnetWatcher {
    private let isJSON: Bool
    private let hasCommand: Bool

    package init(isJSON: Bool, hasCommand: Bool) {
        self.isJSON = isJSON
        self.hasCommand = hasCommand
    }

    package func starting(_ text: String) { say(text) }

    package func ready(_ devnet: Devnet, _ announcement: DevnetAnnouncement) {
        if isJSON {
            printNow(json(announcement))
        } else {
            say(
                Self.welcome(announcement, hasCommand: hasCommand, hasStandardControl: devnet.hasStandardControl))
        }
    }

    package func memberEnded(_ text: String) { complain(text) }
    package func ending() {}

    /// The text for users when a path is ready.
    ///
    /// Without the standard control socket, its commands name the client's.
    static func welcome(_ network: DevnetAnnouncement, hasCommand: Bool, hasStandardControl: Bool) -> String {
        let control = hasStandardControl ? "" : " --control \(network.control)"
        return """
            Ready: SOCKS5 at \(network.socks)

            Try, with any server on this machine (python3 -m http.server 8000):
              curl --proxy socks5h://\(network.socks) http://127.0.0.1:8000/
              tunic paths\(control)
              tunic status\(control)
              tunic nodes --control \(network.nodes[0].control)

            """ + (hasCommand ? "" : (hasStandardControl ? "" : Self.elsewhere) + "\nCtrl-C ends it.")
    }

    private static let elsewhere = "\nAnother process or file is where commands look without --control.\n"

    /// Prints progress for users; if a command runs, standard output belongs to the command.
    private func say(_ text: String) {
        guard !isJSON else { return }
        if hasCommand { writeAll(text + "\n", to: STDERR_FILENO) } else { printNow(text) }
    }
}
