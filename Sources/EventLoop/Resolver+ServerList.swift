import CCares
import CLibUV
import Glibc

/// The system's list of name servers, and the change to a new list.
extension Resolver {
    /// Identifies one version of the system's list of name servers.
    struct FileVersion: Equatable {
        var device: UInt64 = 0, file: UInt64 = 0
        var size: Int64 = 0
        var seconds: Int = 0, nanoseconds: Int = 0
    }

    /// Whether the name servers are those of the system's list.
    var followsFile: Bool { configuration.servers == nil && loop.host == nil }

    func version() -> FileVersion? {
        var found = stat()
        guard unsafe stat(configuration.file, &found) == 0 else { return nil }
        return FileVersion(
            device: UInt64(found.st_dev), file: UInt64(found.st_ino), size: Int64(found.st_size),
            seconds: found.st_mtim.tv_sec, nanoseconds: found.st_mtim.tv_nsec)
    }

    /// Changes to other name servers if the system's list has changed.
    func lookAtFile() {
        guard followsFile, timer != nil, loop.now >= nextLook, !isProcessing else { return }
        nextLook = loop.now &+ configuration.fileInterval
        let present = version()
        guard present != fileVersion else { return }
        fileVersion = present
        reopen()
    }

    /// Makes a new channel and repeats the pending queries there, each within the time that it has left.
    private func reopen() {
        let waiting = Set(answered.map(\.number))
        if let old = unsafe channel {
            unsafe channel = nil
            isReopening = true
            isProcessing = true
            unsafe ares_destroy(old)
            isProcessing = false
            isReopening = false
        }
        unanswered = 0
        // Without a channel every query fails until the file changes again.
        guard (try? open()) != nil else { return }
        for number in pending.keys.sorted() where !waiting.contains(number) {
            if let question = pending[number]?.question { ask(question, number) }
        }
    }
}
