internal import CShims
internal import Glibc

/// Reads keys of standard input one by one and without echo, as long as this object lives; without a terminal it reads
/// nothing.
final class TerminalKeys {
    private let isTerminal = shim_take_keys(STDIN_FILENO) == 0

    init() {
        // Ctrl-C is a normal key, and a signal ends the wait, so that the terminal's mode can be restored.
        guard isTerminal else { return }
        for number in [SIGTERM, SIGHUP, SIGINT] { signal(number) { _ in } }
    }

    deinit { if isTerminal { shim_give_keys_back(STDIN_FILENO) } }

    /// Waits this many milliseconds or for a key; false after q or Ctrl-C, at the end of input, or after a signal.
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
