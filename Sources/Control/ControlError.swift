public import EventLoop

/// Why a control socket could not be opened or used.
public enum ControlError: Error, Equatable {
    /// The path has this many bytes, more than ``ControlSocket/longestPath``.
    case pathTooLong(Int)
    /// Another process listens there, or the path has something other than a socket.
    case inUse
    /// There is no socket at the path, no process listens on it, or it may not be used.
    case unreachable(UVError)
    /// The socket could not be opened.
    case system(UVError)
    /// No answer came in time.
    case timedOut
    /// The other side closed the connection before it answered.
    case closed
    /// The answer was not a line of JSON of the expected kind.
    case malformedReply
    /// The other side refused, with this message.
    case refused(String)
    /// The other side refused because of the user who asks, with this message.
    case denied(String)
}

/// The limits of control sockets.
public enum ControlSocket {
    /// The longest path of a unix socket in bytes (`sockaddr_un`, without its final zero).
    public static let longestPath = 107
    /// The longest request line in bytes: for those who may do all, with an item of the swarm store in hexadecimal; for
    /// others.
    static let longestRequest = (all: 135_168, look: 4_096)
    /// The longest reply line in bytes.
    static let longestReply = 1 << 20
    /// The most connections of a server; further ones are closed at once.
    static let connectionLimit = 16
    /// How long a server waits for a complete request, or for its reply to be read, in nanoseconds.
    static let idleLimit: UInt64 = 10_000_000_000
    /// How long a server waits for an answer that its provider gives later, in nanoseconds.
    static let answerLimit: UInt64 = 35_000_000_000
}
