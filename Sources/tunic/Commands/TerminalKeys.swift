internal import CShims
internal import Glibc

/// The keys of standard input, one by one and unseen, as long as this lives; where it is no terminal nothing is read.
final class TerminalKeys {
    private let isTerminal = shim_take_keys(STDIN_FILENO) == 0

    init() {
        // Ctrl-C is a key like others, and a signal ends the wait, so that the terminal is left as it was found.
        guard isTerminal else { return }
        for number in [SIGTERM, SIGHUP, SIGINT] { signal(number) { _ in } }
    }

    deinit { if isTerminal { shim_give_keys_back(STDIN_FILENO) } }

    /// Whether to go on after so many milliseconds: false as soon as q or Ctrl-C was typed, the input has ended or a signal came.
    func wait(milliseconds: Int32) -> Bool {
        guard isTerminal else {
            usleep(UInt32(milliseconds) * 1_000)
            return true
        }
        var input = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
        let ready = unsafe poll(&input, 1, milliseconds)
        guard ready != 0 else { return true }
        var key = UInt8(0)
        guard ready > 0, unsafe read(STDIN_FILENO, &key, 1) == 1 else { return false }
        return ![UInt8(ascii: "q"), UInt8(ascii: "Q"), 3].contains(key)
    }
}
