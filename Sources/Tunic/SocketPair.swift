internal import Glibc

/// Two connected unix sockets, which are closed on exec.
///
/// `deinit` closes an end that was not taken.
struct SocketPair: ~Copyable {
    private var ours: Int32
    private var theirs: Int32

    init() throws(TunicError) {
        var pair: (Int32, Int32) = (-1, -1)
        let result = unsafe withUnsafeMutableBytes(of: &pair) { memory in
            unsafe socketpair(
                AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0,
                memory.baseAddress?.assumingMemoryBound(to: Int32.self))
        }
        guard result == 0 else { throw .system("socketpair: \(unsafe String(cString: strerror(errno)))") }
        (ours, theirs) = pair
    }

    deinit {
        if ours >= 0 { close(ours) }
        if theirs >= 0 { close(theirs) }
    }

    /// The end for another owner, who uses and closes it from then on.
    mutating func takeOurs() -> Int32 {
        defer { ours = -1 }
        return ours
    }

    /// The end that stays here.
    mutating func takeTheirs() -> Int32 {
        defer { theirs = -1 }
        return theirs
    }
}
