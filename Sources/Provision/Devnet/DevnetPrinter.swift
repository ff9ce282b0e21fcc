internal import Control
internal import Glibc
internal import Process

/// Prints the events of a network for people, or with `isJSON` for a program.
package final class DevnetPrinter: DevnetWatcher {
    private let isJSON: Bool
    private let hasCommand: Bool

    package init(isJSON: Bool, hasCommand: Bool) {
        self.isJSON = isJSON
        self.hasCommand = hasCommand
    }

    package func starting(_ text: String) { say(text) }

    package func ready(_ devnet: Devnet, _ announcement: DevnetAnnouncement) {
        if isJSON { printNow(json(announcement)) } else { say(Self.welcome(announcement, hasCommand: hasCommand)) }
    }

    package func memberEnded(_ text: String) { complain(text) }
    package func ending() {}

    /// What is printed for people when a path is ready.
    static func welcome(_ network: DevnetAnnouncement, hasCommand: Bool) -> String {
        """
        Ready: SOCKS5 at \(network.socks)

        Try, with any server on this machine (python3 -m http.server 8000):
          curl --proxy socks5h://\(network.socks) http://127.0.0.1:8000/
          tunic paths --control \(network.control)
          tunic status --control \(network.control)
          tunic nodes --control \(network.nodes[0].control)

        """ + (hasCommand ? "" : "\nCtrl-C ends it.")
    }

    /// Prints progress for people; if a command runs, standard output belongs to it.
    private func say(_ text: String) {
        guard !isJSON else { return }
        if hasCommand { writeAll(text + "\n", to: STDERR_FILENO) } else { printNow(text) }
    }
}
